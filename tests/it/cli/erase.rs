//! `erase`.

use serde_json::{Value, json};

use super::{CALL, Home, Ran};

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

const UNREACHABLE_STORE: [(&str, &str); 6] = [
    ("WEBHOOK_ASSETS_STORE", "s3://bucket"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_ALLOW_HTTP", "true"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "key"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
];

const OTHER: &str = "11111111-2222-4333-8444-555555555555";

#[test]
fn many_calls_are_erased_from_a_file_or_standard_input_with_a_summary() {
    let home = Home::ready();
    let list = format!("# asked for on Monday\n{CALL}\n\n{OTHER}\n");
    home.write("ids", &list);
    let ran = home.run(&["erase", "--from-file", "ids", "--done-file", "done"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.out, "calls erased: 1; were not there: 1; failed: 0\n");
    let mut done: Vec<_> = home.read("done").lines().map(str::to_owned).collect();
    done.sort();
    assert_eq!(done, [OTHER.to_owned(), CALL.to_string()]);
    let ran = home.run_with_input(&["erase", "--from-file", "-", "--json"], &list);
    let summary: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(summary, json!({"erased": 0, "were_not_there": 2, "skipped": 0, "failed": []}));
    let ran = home.run(&["erase", &CALL.to_string(), "--json"]);
    let one: Value = serde_json::from_str(&ran.out).unwrap();
    let gone = "was not there";
    assert_eq!(one, json!({"id": CALL.to_string(), "recording": gone, "transcript": gone}));
}

#[test]
fn an_erasure_that_was_cut_off_goes_on_with_the_calls_that_are_left() {
    let home = Home::ready();
    // The last line was cut off while it was written.
    home.write("done", &format!("{OTHER}\n{}", &CALL.to_string()[..20]));
    home.write("ids", &format!("{OTHER}\n{CALL}\n"));
    let erase = ["erase", "--from-file", "ids", "--done-file", "done"];
    home.run(&erase).says(&["calls erased: 1; were not there: 0; failed: 0; erased before: 1\n"]);
    home.run(&erase).says(&["calls erased: 0; were not there: 0; failed: 0; erased before: 2\n"]);
}

#[test]
fn a_list_with_a_line_that_is_no_id_erases_nothing() {
    let home = Home::ready();
    home.write("ids", &format!("{CALL}\nno id\n"));
    home.run(&["erase", "--from-file", "ids"]).refused(1, &["line 2 is no UUID", "nothing was erased"]);
    home.run(&["erase", "--from-file", "absent"]).refused(1, &["--from-file absent"]);
    assert_eq!(home.run(&["erase"]).code, Some(2));
    home.run(&["erase", &CALL.to_string()]).says(&["erased"]).hides(&["was not there".to_owned()]);
}

#[test]
fn calls_whose_erasure_fails_are_named_and_fail_the_command() {
    let home = Home::ready();
    home.write("ids", &format!("{CALL}\n{OTHER}\n"));
    let erase = ["erase", "--from-file", "ids", "--done-file", "done", "--json"];
    let ran = Ran::of(home.program(&erase).envs(UNREACHABLE_STORE));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let summary: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(summary["failed"].as_array().unwrap().len(), 2, "{summary}");
    ran.says(&[OTHER, "run the same command again"]);
    assert_eq!(home.read("done"), "");
}
