//! `mint` and `verify`.

use serde_json::Value;
use webhook_assets::SecretKey;

use super::{Home, Ran, vectors};

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

#[test]
fn mint_prints_only_the_link() {
    let home = Home::ready();
    for kind in ["recording", "transcript"] {
        let ran = home.run(&["mint", kind, ID]).succeeded().hides(&home.secrets("keys.json"));
        let link = ran.out.strip_suffix('\n').unwrap();
        assert!(!link.contains(char::is_whitespace), "{link:?}");
        let start = format!("https://app.example.com/api/webhook-assets/{kind}/{ID}?expires=");
        let (expires, sig) = link.strip_prefix(&start).unwrap().split_once("&sig=").unwrap();
        assert!(expires.parse::<u64>().is_ok() && sig.len() == 64, "{link}");
    }
}

#[test]
fn mint_can_say_more_in_json() {
    let home = Home::ready();
    let ran = home.run(&["mint", "recording", ID, "--json", "--expires-in", "90m"]).succeeded();
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&object["kind"], &object["id"]), (&"recording".into(), &ID.into()));
    assert_eq!(object["key_id"], home.ids("keys.json")[0].as_str());
    let expires = object["expires"].as_u64().unwrap();
    assert!(object["url"].as_str().unwrap().contains(&format!("?expires={expires}&sig=")));
    assert!(object["expires_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(ran.out.lines().count(), 1);
}

#[test]
fn mint_makes_links_to_captions_and_verify_understands_them() {
    let home = Home::ready();
    for format in ["txt", "vtt", "srt", "md"] {
        let link = home.run(&["mint", "transcript", ID, "--format", format]).succeeded().out;
        assert!(link.ends_with(&format!("&format={format}\n")), "{link}");
        home.run(&["verify", link.trim()])
            .succeeded()
            .says(&[&format!("the transcript {ID} as {format}, good")]);
        let said = home.run(&["verify", "--json", link.trim()]).succeeded().out;
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["link"]["format"], format);
    }
    let ran = home.run(&["mint", "transcript", ID, "--format", "vtt", "--json"]).succeeded();
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["format"], "vtt");
    home.run(&["mint", "recording", ID, "--format", "vtt"]).refused(2, &["--format", "transcript"]);
    let ran = home.run(&["mint", "transcript", ID, "--format", "pdf"]);
    assert!(ran.code == Some(2) && ran.err.contains("`txt`, `vtt`, `srt` or `md`"), "{ran:?}");
    let wrong = format!("{}&format=pdf", home.run(&["mint", "transcript", ID]).succeeded().out.trim());
    home.run(&["verify", &wrong]).succeeded().says(&["good: ", "400", "`vtt`"]);
}

#[test]
fn a_lifetime_beyond_the_longest_is_refused() {
    let home = Home::ready();
    for lifetime in ["25h", "1year", "0s", "500ms"] {
        let ran = home.run(&["mint", "recording", ID, "--expires-in", lifetime]);
        ran.refused(2, &["--expires-in"]);
    }
    home.run(&["mint", "recording", ID, "--expires-in", "25h"]).refused(2, &["1 day 1h"]);
    home.run(&["mint", "recording", ID, "--expires-in", "24h"]).succeeded();
    let ran = Ran::of(
        home.program(&["mint", "recording", ID, "--expires-in", "2h"])
            .env("WEBHOOK_ASSETS_LONGEST_LIFETIME", "1h"),
    );
    ran.refused(2, &["1h"]);
}

#[test]
fn an_id_that_is_no_uuid_is_a_wrong_command_line() {
    let home = Home::ready();
    for arguments in [["mint", "recording", "call-17"], ["mint", "video", ID]] {
        let ran = home.run(&arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains("error:") && ran.err.contains(arguments[2]) | ran.err.contains("video"));
    }
}

#[test]
fn without_a_keyring_mint_says_how_to_make_one() {
    let home = Home::without_keys();
    home.run(&["mint", "recording", ID]).refused(64, &["keys.json", "webhook-assets keys new"]);
}

#[test]
fn flags_take_precedence_over_the_environment() {
    let home = Home::ready();
    home.run(&["keys", "new", "--keys", "other.json"]).succeeded();
    let arguments =
        ["mint", "recording", ID, "--keys", "other.json", "--public-url", "https://x.example", "--json"];
    let ran = home.run(&arguments).succeeded();
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(object["key_id"], home.ids("other.json")[0].as_str());
    assert!(object["url"].as_str().unwrap().starts_with("https://x.example/webhook-assets/recording/"));
}

#[test]
fn verify_accepts_what_mint_prints() {
    let home = Home::ready();
    for kind in ["recording", "transcript"] {
        let minted = home.run(&["mint", kind, ID]).succeeded().out;
        let ran = home.run_with_input(&["verify", "-"], &minted).succeeded();
        ran.hides(&home.secrets("keys.json")).says(&["good: ", kind, ID, &home.ids("keys.json")[0]]);
        home.run(&["verify", minted.trim()]).succeeded();
    }
}

/// A good link spoiled in one way each, with what `verify` must say.
fn spoiled(link: &str) -> Vec<(&'static str, String, &'static str)> {
    let (before_sig, sig) = link.split_once("&sig=").unwrap();
    vec![
        ("html_escaped", link.replace('&', "&amp;"), "HTML-escaped"),
        ("cut_short", link[..link.len() - 9].to_owned(), "55 of the 64 digits"),
        ("cut_short", before_sig.to_owned(), "cut short"),
        ("expires_in_milliseconds", link.replace("&sig", "000&sig"), "milliseconds"),
        ("sig_in_upper_case", format!("{before_sig}&sig={}", sig.to_uppercase()), "upper case"),
        ("malformed_id", link.replace("550e8400-e29b", "550E8400-E29B"), "upper case"),
        ("wrong_path", link.replace("recording", "recordings"), "wrong path"),
        ("wrong_path", "https://app.example.com/api".to_owned(), "wrong path"),
        ("signed_for_the_other_kind", link.replace("recording", "transcript"), "belongs to the recording"),
        ("broken_by_space", link.replace("&sig", " &sig"), "space"),
        ("trailing_text", format!("{link}."), "behind the sig"),
        ("repeated_sig", format!("{link}&sig={sig}"), "more than once"),
    ]
}

#[test]
fn verify_says_what_is_wrong_with_a_link() {
    let home = Home::ready();
    for (code, text, words) in spoiled(&home.link()) {
        let ran = home.run(&["verify", &text]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{text}: {ran:?}");
        assert!(ran.out.starts_with("refused: "), "{ran:?}");
        let ran = ran.says(&[words]);
        assert!(!ran.out.contains("good: "), "{ran:?}");

        let ran = home.run(&["verify", "--json", &text]);
        let object: Value = serde_json::from_str(&ran.out).unwrap();
        let codes: Vec<_> =
            object["findings"].as_array().unwrap().iter().map(|found| &found["code"]).collect();
        assert!(codes.contains(&&Value::from(code)) && ran.code == Some(1), "{text}: {codes:?}");
        assert_eq!(object["good"], false);
    }
}

#[test]
fn a_link_in_brackets_or_quotes_is_refused_and_shown_repaired() {
    let home = Home::ready();
    let link = home.link();
    for text in [format!("<{link}>"), format!("({link})"), format!("\"{link}\"")] {
        let ran = home.run(&["verify", &text]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.starts_with("refused: "), "{ran:?}");
        ran.says(&["mended: "]);
    }
}

#[test]
fn a_public_url_whose_links_no_client_can_follow_is_refused() {
    let home = Home::ready();
    for url in [
        "https://h:abc",
        "https://h:99999",
        "https://[::1",
        "https://h%zz",
        "https://h/a`b",
        "https://h/a%zz",
    ] {
        let ran = home.run(&["mint", "recording", ID, "--public-url", url]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{url}: {ran:?}");
    }
}

#[test]
fn verify_says_when_a_link_expired() {
    let home = Home::ready();
    let link = home.link();
    let ran = home.run(&["verify", &link, "--at", "2199-01-01T00:00:00Z"]);
    assert_eq!(ran.code, Some(1));
    ran.says(&["refused: it expired", "ago, at", "the signature is good", &home.ids("keys.json")[0]]);
    let ran = home.run(&["verify", &link, "--at", "last week"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn verify_knows_only_the_keys_of_this_keyring() {
    let home = Home::ready();
    home.run(&["keys", "new", "--keys", "other.json"]).succeeded();
    let link = home.run(&["mint", "recording", ID, "--keys", "other.json"]).succeeded().out;
    let ran = home.run_with_input(&["verify", "-"], &link).hides(&home.secrets("other.json"));
    assert_eq!(ran.code, Some(1));
    ran.says(&["not in this keyring"]);
    home.run_with_input(&["verify", "-", "--keys", "other.json"], &link).succeeded();
}

#[test]
fn verify_notes_the_link_of_another_deployment() {
    let home = Home::ready();
    let link = home.link().replace("app.example.com", "staging.example.com");
    home.run(&["verify", &link]).succeeded().says(&["note: ", "staging.example.com", "right deployment"]);
}

#[test]
fn an_imported_key_signs_as_the_vectors_say() {
    let vectors = vectors();
    let home = Home::without_keys();
    for name in ["k1", "k2"] {
        let (file, digits) = (format!("{name}.json"), vectors["keys"][name].as_str().unwrap());
        let ran = home.run_with_input(&["keys", "new", "--keys", &file, "--import"], &format!("{digits}\n"));
        ran.succeeded().hides(&[digits.to_owned()]);
        let key = SecretKey::from_hex(digits).unwrap();
        for vector in vectors["mint"].as_array().unwrap().iter().filter(|vector| vector["key"] == name) {
            let text = |field: &str| vector[field].as_str().unwrap();
            let arguments =
                ["mint", text("kind"), text("id"), "--keys", &file, "--public-url", text("base"), "--json"];
            let minted: Value = serde_json::from_str(&home.run(&arguments).succeeded().out).unwrap();
            // The test vector with today's time in place of the recorded one.
            let (then, now) = (vector["expires"].to_string(), &minted["expires"]);
            let message = format!("{}{now}", text("message").strip_suffix(&then).unwrap());
            let (start, _) = text("url").split_once("?expires=").unwrap();
            let expected = format!("{start}?expires={now}&sig={}", hex::encode(key.sign(message.as_bytes())));
            assert_eq!(minted["url"], expected.as_str(), "{}", text("name"));
        }
    }
}

#[test]
fn a_key_can_be_imported_in_upper_case_and_nothing_else_is_a_key() {
    let home = Home::without_keys();
    let import =
        |file: &str, text: &str| home.run_with_input(&["keys", "new", "--keys", file, "--import"], text);
    import("upper.json", &"A5".repeat(32)).succeeded();
    assert_eq!(home.secrets("upper.json"), ["a5".repeat(32)]);
    for bad in ["", "a5a5a5", &"a5".repeat(300), &"xy".repeat(32)] {
        let ran = import("bad.json", bad).refused(1, &["standard input"]);
        assert!(bad.is_empty() || !ran.err.contains(bad), "{ran:?}");
        assert!(!home.path("bad.json").exists());
    }
}
