//! `keys new`, `list`, `rotate`, `retire`.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use webhook_assets::Keyring;
use webhook_assets::clock::{Clock, SystemClock};

use super::{Home, Ran, piped};
use crate::support::DAY;

fn mode(home: &Home, name: &str) -> u32 {
    std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777
}

/// The state of each key in the output of `keys list --json`.
fn states(home: &Home) -> Vec<(String, String)> {
    let ran = home.run(&["keys", "list", "--json"]).succeeded();
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    object["keys"].as_array().unwrap().iter().map(|key| (text(&key["id"]), text(&key["state"]))).collect()
}

#[test]
fn a_new_keyring_is_for_its_owner_alone() {
    let home = Home::without_keys();
    let ran = home.run(&["keys", "new"]).succeeded();
    assert_eq!(mode(&home, "keys.json"), 0o600);
    let secrets = home.secrets("keys.json");
    assert_eq!((secrets.len(), secrets[0].len()), (1, 64));
    ran.says(&["keys.json", &home.ids("keys.json")[0]]).hides(&secrets);
}

#[test]
fn a_keyring_is_never_overwritten() {
    let home = Home::ready();
    let before = home.read("keys.json");
    home.run(&["keys", "new"]).refused(1, &["exists already", "keys rotate"]);
    home.run_with_input(&["keys", "new", "--import"], &"a5".repeat(32)).refused(1, &["exists already"]);
    assert_eq!(home.read("keys.json"), before);
}

#[test]
fn two_new_keys_differ() {
    let home = Home::ready();
    home.run(&["keys", "new", "--keys", "other.json"]).succeeded();
    assert_ne!(home.secrets("keys.json"), home.secrets("other.json"));
}

#[test]
fn listing_shows_ids_dates_and_states_but_no_key() {
    let home = Home::ready();
    home.run(&["keys", "rotate", "--starts-in", "1h"]).succeeded().hides(&home.secrets("keys.json"));
    let secrets = home.secrets("keys.json");
    let ids = home.ids("keys.json");
    let table = home.run(&["keys", "list"]).succeeded().hides(&secrets).out;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("ID") && lines[0].ends_with("ENDS"), "{table}");
    assert!(lines[1].contains(&ids[0]) && lines[1].contains(" signing "), "{table}");
    assert!(
        lines[2].contains(&ids[1]) && lines[2].contains(" waiting ") && lines[2].ends_with('-'),
        "{table}"
    );
    home.run(&["keys", "list", "--json"]).succeeded().hides(&secrets);
    assert_eq!(states(&home), [(ids[0].clone(), "signing".into()), (ids[1].clone(), "waiting".into())]);
}

#[test]
fn links_minted_before_a_rotation_stay_good() {
    let home = Home::ready();
    let old = home.link();
    home.run(&["keys", "rotate", "--starts-in", "0s"]).succeeded();
    let ids = home.ids("keys.json");
    let new = home.link();
    home.run(&["verify", &old]).succeeded().says(&[&ids[0]]);
    home.run(&["verify", &new]).succeeded().says(&[&ids[1]]);
    assert_eq!(states(&home), [(ids[0].clone(), "verifying".into()), (ids[1].clone(), "signing".into())]);
    assert_eq!(mode(&home, "keys.json"), 0o600);
}

#[test]
fn ten_rotations_at_once_leave_a_whole_file_with_every_key() {
    let home = Home::ready();
    let first = home.ids("keys.json").remove(0);
    let running: Vec<_> =
        (0..10).map(|_| piped(&mut home.program(&["keys", "rotate"])).spawn().unwrap()).collect();
    let mut made = vec![first];
    for child in running {
        let ran = Ran::after(child).succeeded();
        made.push(ran.out.split(' ').nth(1).unwrap().to_owned());
    }
    let mut ids = home.ids("keys.json");
    ids.sort();
    made.sort();
    assert_eq!(ids, made);
    assert_eq!((ids.len(), mode(&home, "keys.json")), (11, 0o600));
    home.run(&["check"]).succeeded();
    let left: Vec<_> =
        std::fs::read_dir(home.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the keyring and the store, nothing else: {left:?}");
}

#[test]
fn a_rotated_keyring_behind_a_link_stays_behind_it() {
    let home = Home::ready();
    std::fs::create_dir(home.path("mounted")).unwrap();
    std::fs::rename(home.path("keys.json"), home.path("mounted/keys.json")).unwrap();
    std::os::unix::fs::symlink("mounted/keys.json", home.path("keys.json")).unwrap();
    home.run(&["keys", "rotate"]).succeeded();
    assert!(std::fs::symlink_metadata(home.path("keys.json")).unwrap().is_symlink());
    assert_eq!(home.ids("mounted/keys.json").len(), 2);
}

#[test]
fn every_date_that_rotation_writes_can_be_read_again() {
    let home = Home::ready();
    let before = home.read("keys.json");
    let ran = home.run(&["keys", "rotate", "--starts-in", "9000years"]);
    let listed = home.run(&["keys", "list"]);
    assert_eq!(listed.code, Some(0), "the keyring was destroyed: {listed:?}");
    if ran.code != Some(0) {
        assert_eq!(home.read("keys.json"), before, "what was refused changed nothing");
    }
}

#[test]
fn the_last_key_that_signs_cannot_be_retired() {
    let home = Home::ready();
    let id = home.ids("keys.json").remove(0);
    let before = home.read("keys.json");
    for how in [&[][..], &["--now"], &["--ends-in", "1h"]] {
        let arguments = [&["keys", "retire", &id], how].concat();
        home.run(&arguments).refused(1, &["no key would sign", "keys rotate"]);
    }
    home.run(&["keys", "retire", "nobody"]).refused(1, &["no key nobody", "keys list"]);
    assert_eq!(home.read("keys.json"), before);
}

#[test]
fn some_key_signs_at_every_hour_after_each_allowed_retirement() {
    let home = Home::ready();
    let id = home.ids("keys.json").remove(0);
    // The next key starts when the old one has half an hour left, too little for links valid for a day.
    home.run(&["keys", "rotate", "--starts-in", "24h"]).succeeded();
    let _ = home.run(&["keys", "retire", &id, "--ends-in", "24h 30m"]);
    let keyring = Keyring::read(home.path("keys.json")).unwrap();
    let now = SystemClock.now();
    for hour in 0..100 {
        let then = now.plus(hour * DAY / 24);
        assert!(keyring.signing_key(then, then.plus(DAY)).is_some(), "in {hour} hours no key can sign");
    }
}

#[test]
fn a_key_retired_at_once_opens_nothing_from_then_on() {
    let home = Home::ready();
    let old = home.link();
    home.run(&["keys", "rotate", "--starts-in", "0s"]).succeeded();
    let id = home.ids("keys.json").remove(0);
    let ran = home.run(&["keys", "retire", &id, "--now"]).succeeded().hides(&home.secrets("keys.json"));
    ran.says(&[&id, "refused from then on"]);
    let ran = home.run(&["verify", &old]);
    assert_eq!(ran.code, Some(1));
    ran.says(&["that key ended", "mint a new link"]);
    assert_eq!(states(&home)[0].1, "ended");
}

#[test]
fn a_key_that_has_ended_cannot_be_brought_back_by_retiring_it_again() {
    let home = Home::ready();
    let leaked = home.link();
    home.run(&["keys", "rotate", "--starts-in", "0s"]).succeeded();
    let id = home.ids("keys.json").remove(0);
    home.run(&["keys", "retire", &id, "--now"]).succeeded();
    let _ = home.run(&["keys", "retire", &id]);
    assert_eq!(states(&home)[0].1, "ended");
    assert_eq!(home.run(&["verify", &leaked]).code, Some(1), "a leaked key opens assets again");
}

#[test]
fn a_lifetime_as_long_as_time_itself_is_no_reason_to_panic() {
    let home = Home::ready();
    let id = home.ids("keys.json").remove(0);
    for arguments in
        [&["keys", "retire", &id][..], &["keys", "list"], &["mint", "recording", &super::CALL.to_string()]]
    {
        let mut command = home.program(arguments);
        let ran = Ran::of(command.env("WEBHOOK_ASSETS_LONGEST_LIFETIME", format!("{}s", u64::MAX)));
        assert!(ran.code != Some(101) && !ran.err.contains("panicked"), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_damaged_keyring_is_left_as_it_is_and_shows_no_key() {
    let home = Home::ready();
    let (secrets, id) = (home.secrets("keys.json"), home.ids("keys.json").remove(0));
    let damaged = [
        home.read("keys.json").replace("\"version\": 1", "\"version\": 2"),
        home.read("keys.json").replace("\"secret\"", "\"secert\""),
        home.read("keys.json").trim_end().trim_end_matches('}').to_owned(),
        home.read("keys.json").replace(&secrets[0], &format!("{}zz", secrets[0])),
    ];
    for text in damaged {
        home.write("keys.json", &text);
        for arguments in [
            &["keys", "list"][..],
            &["keys", "rotate"],
            &["keys", "retire", &id],
            &["mint", "recording", CALL],
        ] {
            home.run(arguments).hides(&secrets).refused(64, &["keyring"]);
        }
        assert_eq!(home.read("keys.json"), text);
    }
}

const CALL: &str = "550e8400-e29b-41d4-a716-446655440000";

#[test]
fn a_keyring_requested_only_if_missing_is_created_once() {
    let home = Home::without_keys();
    let new = ["keys", "new", "--keys", "keys.json", "--if-missing"];
    home.run(&new).succeeded().says(&["made keys.json"]);
    let made = home.read("keys.json");
    home.run(&new).succeeded().says(&["keys.json is there already"]);
    assert_eq!(home.read("keys.json"), made);
    // A file that is no keyring is neither used nor overwritten.
    home.write("keys.json", "{");
    assert_eq!(home.run(&new).code, Some(1));
    assert_eq!(home.read("keys.json"), "{");
}
