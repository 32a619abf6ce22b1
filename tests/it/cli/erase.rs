//! `erase`.

use super::{CALL, Home};

#[test]
fn an_erased_asset_is_gone_and_erasing_it_again_is_no_failure() {
    let home = Home::ready();
    let files = ["recordings", "transcripts"].map(|folder| home.path("store").join(folder));
    let stored =
        || files.iter().map(|folder| std::fs::read_dir(folder).map_or(0, Iterator::count)).sum::<usize>();
    assert_eq!(stored(), 2, "{files:?}");
    let ran = home.run(&["erase", &CALL.to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("erased an asset"), "it is recorded: {ran:?}");
    ran.says(&["recording", "transcript", "erased"]);
    assert_eq!(stored(), 0);
    home.run(&["erase", &CALL.to_string()]).says(&["was not there"]);
}
