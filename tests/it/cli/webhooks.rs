//! `webhooks`: endpoints and the delivery history on the command line, and the test receiver.

mod listen;
mod log_lines;

use serde_json::Value;
use webhook_assets::clock::{Clock, SystemClock, UnixSeconds};

use super::database::hand_in;
use super::{Home, Ran, Running, Server, eventually};

/// `webhooks` for the workspace `acme`, on a database in this folder.
fn webhooks(home: &Home, arguments: &[&str]) -> Ran {
    let (command, rest) = arguments.split_first().unwrap();
    let arguments = [&["webhooks", command, "--workspace", "acme"], rest].concat();
    Ran::of(home.program(&arguments).envs(home.sending()))
}

fn serve(home: &Home) -> Server {
    let mut command = home.program(&["serve"]);
    command.envs(home.sending());
    Server::start(command)
}

/// A `webhooks listen` with these arguments.
fn listen(home: &Home, arguments: &[&str]) -> Running {
    Running::start(home.bare(&[&["webhooks", "listen", "--listen", "127.0.0.1:0"], arguments].concat()))
}

/// Adds an endpoint; its id and its secret.
fn add(home: &Home, url: &str) -> (String, String) {
    let added = webhooks(home, &["add", url, "--json"]).succeeded().out;
    let added: Value = serde_json::from_str(&added).unwrap();
    (added["id"].as_str().unwrap().to_owned(), added["secret"].as_str().unwrap().to_owned())
}

fn url_of(receiver: &Running) -> String {
    format!("http://{}/hook", receiver.address("receiver"))
}

#[test]
fn an_endpoint_is_added_listed_and_removed() {
    let home = Home::ready();
    let add = ["add", "http://127.0.0.1:9/hook", "--description", "Zapier, sales", "--long-tail"];
    let added = webhooks(&home, &add).succeeded().says(&["added   ep_", "secret  whsec_"]).out;
    let id = added.split_whitespace().find(|word| word.starts_with("ep_")).unwrap();
    let listed = webhooks(&home, &["list"]).succeeded();
    let secret = added.split_whitespace().find(|word| word.starts_with("whsec_")).unwrap().to_owned();
    listed.says(&[id, "active", "good", "http://127.0.0.1:9/hook", "Zapier, sales"]).hides(&[secret]);
    let listed: Value = serde_json::from_str(&webhooks(&home, &["list", "--json"]).succeeded().out).unwrap();
    assert_eq!(
        (&listed["endpoints"][0]["id"], &listed["endpoints"][0]["long_tail"]),
        (&id.into(), &true.into())
    );

    webhooks(&home, &["pause", id]).succeeded();
    webhooks(&home, &["list"]).succeeded().says(&["paused by hand"]);
    webhooks(&home, &["resume", id]).succeeded().says(&["what waited is sent now"]);
    webhooks(&home, &["remove", id]).succeeded();
    webhooks(&home, &["list"]).succeeded().says(&["no endpoint", "webhooks add"]);
    for command in ["pause", "resume", "remove", "secret", "test"] {
        webhooks(&home, &[command, id]).refused(1, &["no endpoint", id, "webhooks list"]);
    }
}

#[test]
fn a_url_that_another_endpoint_has_is_added_only_with_the_flag_for_it() {
    let home = Home::ready();
    let add = ["add", "http://127.0.0.1:9/hook", "--json"];
    let added: Value = serde_json::from_str(&webhooks(&home, &add).succeeded().out).unwrap();
    let id = added["id"].as_str().unwrap();
    webhooks(&home, &add).refused(1, &[id, "arrive there twice", "--allow-duplicate"]);
    webhooks(&home, &[&add[..], &["--allow-duplicate"]].concat()).succeeded();
    webhooks(&home, &["add", "http://127.0.0.1:9/hook\u{feff}"])
        .refused(1, &["character 24", "U+FEFF", "delete it"]);
}

#[test]
fn an_impossible_command_is_refused_in_one_line() {
    let home = Home::ready();
    webhooks(&home, &["list"]).refused(1, &["there is no database", "calls.db", "WEBHOOK_ASSETS_DATABASE"]);
    assert!(!home.path("calls.db").exists());
    webhooks(&home, &["add", "https://10.0.0.1/"]).refused(1, &["10.0.0.1", "public"]);
    add(&home, "http://127.0.0.1:9/");
    webhooks(&home, &["resend", "dlv_none"]).refused(1, &["no delivery dlv_none"]);
    webhooks(&home, &["deliveries", "dlv_none"]).refused(1, &["no delivery dlv_none"]);
    webhooks(&home, &["change", "ep_none", "--long-tail", "true"]).refused(1, &["no endpoint ep_none"]);
    let from = ["--from", "24h"];
    for command in [&["deliveries"][..], &["recover", from[0], from[1]]] {
        let of_nobody = [&["webhooks"], command, &["--workspace", "acmee"]].concat();
        Ran::of(home.program(&of_nobody).envs(home.sending()))
            .refused(1, &["there is no workspace acmee", "webhooks workspaces"]);
        webhooks(&home, &[command, &["--endpoint", "ep_none"]].concat())
            .refused(1, &["workspace acme has no endpoint ep_none", "webhooks list"]);
    }
    let list = ["webhooks", "list", "--workspace", "acmee"];
    Ran::of(home.program(&list).envs(home.sending())).refused(1, &["there is no workspace acmee"]);
    let times = ["recover", "--from", "2026-11-23T10:00:00+01:00", "--to", "2026-11-23T09:00:00Z"];
    webhooks(&home, &times).refused(2, &["--from", "is not before"]);
    for arguments in [
        &["list", "--workspace", "a b"][..],
        &["recover"],
        &["deliveries", "--status", "lost"],
        &["deliveries", "--from", "yesterday"],
        &["deliveries", "--pick-up", "lost"],
        &["recover", "--from", "2026-11-23T09:00:00Z", "--which", "lost"],
        &["secret", "ep_1", "--overlap", "1h"],
        &["secret", "ep_1", "--rotate", "--overlap", "8days"],
        &["add", "https://example.com/", "--per-second", "0"],
        &["change", "ep_1"],
        &["change", "ep_1", "--concurrency", "0"],
        &["change", "ep_1", "--allow-duplicate"],
        &["recover", "--from", "24h", "--follow", "--dry-run"],
    ] {
        assert_eq!(webhooks(&home, arguments).code, Some(2), "{arguments:?}");
    }
    home.write("calls.db.key", "no key\n");
    webhooks(&home, &["list"]).refused(64, &["webhooks.database", "calls.db.key", "64 hexadecimal digits"]);
}

#[test]
fn an_endpoint_is_told_which_calls_it_gets() {
    let home = Home::ready();
    let url = "http://127.0.0.1:9/";
    let limited = ["add", url, "--status", "connected,left-voicemail", "--has-recording", "true", "--json"];
    let added: Value = serde_json::from_str(&webhooks(&home, &limited).succeeded().out).unwrap();
    let status = serde_json::json!(["connected", "left-voicemail"]);
    assert_eq!((&added["filter"]["status"], &added["filter"]["has_recording"]), (&status, &true.into()));
    webhooks(&home, &["list"]).succeeded().says(&["[only connected,left-voicemail; with a recording]"]);
    let id = added["id"].as_str().unwrap();
    let change = ["filter", id, "--direction", "incoming", "--status", "missed"];
    webhooks(&home, &change).succeeded().says(&["gets from now on: only missed; incoming"]);
    webhooks(&home, &["filter", id]).succeeded().says(&["gets from now on: all calls"]);
    assert!(!webhooks(&home, &["list"]).succeeded().out.contains("only missed"));
    webhooks(&home, &["filter", "ep_none"]).refused(1, &["no endpoint ep_none"]);
    for wrong in [["--status", "lost"], ["--direction", "up"], ["--has-recording", "maybe"]] {
        assert_eq!(webhooks(&home, &["filter", id, wrong[0], wrong[1]]).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_header_comes_from_a_file_or_from_standard_input_and_is_not_shown() {
    let home = Home::ready();
    home.write("key", "v4lue-of-the-key\n");
    home.write("basic", "acme:v4lue-of-acme\n");
    let url = "http://127.0.0.1:9/";
    let add = ["add", url, "--header-file", "X-API-Key=key", "--basic-file", "basic", "--json"];
    let added = webhooks(&home, &add).succeeded().hides(&["v4lue".to_owned()]).out;
    let added: Value = serde_json::from_str(&added).unwrap();
    assert_eq!(added["headers"], serde_json::json!({"Authorization": true, "X-API-Key": true}));
    let id = added["id"].as_str().unwrap();
    webhooks(&home, &["headers", id]).succeeded().says(&["Authorization, X-API-Key"]);
    let remove = ["headers", id, "--remove", "Authorization"];
    webhooks(&home, &remove).succeeded().says(&["each with a value: X-API-Key\n"]);

    let from_input = |arguments: &[&str], text: &str| {
        let arguments = [&["webhooks", "headers", "--workspace", "acme", id], arguments].concat();
        let mut command = home.program(&arguments);
        home.run_command_with_input(command.envs(home.sending()), text)
    };
    from_input(&["--header-file", "X-Token=-"], "v4lue-of-the-token\n")
        .succeeded()
        .says(&["X-API-Key, X-Token"])
        .hides(&["v4lue".to_owned()]);
    from_input(&["--basic-file", "-"], "no pair").refused(1, &["USER:PASSWORD"]);
    from_input(&["--header-file", "X-Token=-"], "two\nlines").refused(1, &["X-Token", "in one line"]);
    from_input(&["--header-file", "X-Token=-"], "\n").refused(1, &["X-Token has no value"]);
    // What stands in the place of a file may be a value.
    let mistaken = ["headers", id, "--header-file", "X-Token=v4lue-given-as-an-argument"];
    webhooks(&home, &mistaken)
        .refused(1, &["--header-file X-Token=FILE cannot be read"])
        .hides(&["v4lue".to_owned()]);
    for ours in ["Content-Type", "webhook-id", "User-Agent"] {
        let wish = format!("{ours}=key");
        webhooks(&home, &["headers", id, "--header-file", &wish])
            .refused(1, &[ours, "set by the sender itself"]);
    }
    assert_eq!(webhooks(&home, &["headers", id, "--header-file", "X-Token"]).code, Some(2));
    webhooks(&home, &["headers", "ep_none"]).refused(1, &["no endpoint ep_none"]);
}

#[test]
fn a_secret_is_shown_and_rotated() {
    let home = Home::ready();
    let (id, secret) = add(&home, "http://127.0.0.1:9/");
    assert_eq!(webhooks(&home, &["secret", &id]).succeeded().out, format!("{secret}\n"));
    let rotated = webhooks(&home, &["secret", &id, "--rotate", "--overlap", "2h"]).succeeded().out;
    let [new, old] = rotated.lines().collect::<Vec<_>>()[..] else { panic!("{rotated}") };
    assert!(new.starts_with("whsec_") && new != secret, "{rotated}");
    assert!(old.starts_with(&secret) && old.contains("valid until"), "{rotated}");
    let shown: Value =
        serde_json::from_str(&webhooks(&home, &["secret", &id, "--json"]).succeeded().out).unwrap();
    assert_eq!((&shown["secret"], &shown["previous"]["secret"]), (&new.into(), &secret.into()));
    webhooks(&home, &["secret", &id, "--rotate", "--overlap", "0s"]).succeeded();
    assert_eq!(webhooks(&home, &["secret", &id]).succeeded().out.lines().count(), 1);
}

#[test]
fn a_test_event_reaches_a_receiver_that_verifies_its_signatures() {
    let home = Home::ready();
    let _server = serve(&home);
    // The secret belongs to a URL, so a receiver without a secret listens there first.
    let address = listen(&home, &[]).address("receiver").to_string();
    let (id, secret) = add(&home, &format!("http://{address}/hook"));
    home.write("secret", &format!("{secret}\n"));
    let receiver = {
        let arguments = ["webhooks", "listen", "--listen", &address, "--secret-file", "secret"];
        Running::start(home.bare(&arguments))
    };
    receiver.address("receiver");
    webhooks(&home, &["test", &id])
        .succeeded()
        .says(&["attempt 1  status 200", "delivered"])
        .hides(&[secret]);
    receiver.prints("Standard Webhooks    good");
    receiver.prints("X-Webhook-Signature  good");
    receiver.prints("\"test\": true");
    webhooks(&home, &["deliveries"]).succeeded().says(&["delivered", "never fetched, expires in"]);
    let filtered = |pick_up| webhooks(&home, &["deliveries", "--pick-up", pick_up]).succeeded();
    filtered("not-fetched").says(&["never fetched, expires in"]);
    filtered("fetched").says(&["no such delivery"]);
    // Test events are left out.
    let recover = ["recover", "--from", "2026-01-01T00:00:00Z", "--dry-run", "--which"];
    for (which, words) in [
        ("failed", "nothing failed in this time"),
        ("not-fetched", "nothing was delivered and not fetched in this time"),
        ("all", "nothing was delivered or failed in this time"),
    ] {
        webhooks(&home, &[&recover[..], &[which]].concat()).succeeded().says(&[words]);
    }
}

#[test]
fn an_attempt_that_fails_says_what_to_do_and_is_in_the_history() {
    let home = Home::ready();
    let _server = serve(&home);
    let receiver = listen(&home, &["--status", "404"]);
    let (id, _) = add(&home, &url_of(&receiver));
    let ran = webhooks(&home, &["test", &id]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    let ran = ran.says(&["attempt 1  status 404", "attempt 4  status 404", "→ ", "failed"]);
    let delivery = ran.out.split_whitespace().find(|word| word.starts_with("dlv_")).unwrap().to_owned();
    webhooks(&home, &["deliveries"]).succeeded().says(&["ACCEPTED", &delivery, "(test)", "failed", "404"]);
    webhooks(&home, &["deliveries", "--status", "delivered"]).succeeded().says(&["no such delivery"]);
    webhooks(&home, &["deliveries", &delivery]).succeeded().says(&[
        "status    failed",
        "attempt 4",
        "→ ",
        "first byte ",
        "> webhook-signature: ••••",
        "< content-length: ",
    ]);
    let shown = webhooks(&home, &["deliveries", &delivery, "--json"]).succeeded().out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((shown["attempts"].as_array().unwrap().len(), &shown["status"]), (4, &"failed".into()));
    drop(receiver);
    webhooks(&home, &["resend", &delivery]).succeeded().says(&["due now"]);
    let attempts = || {
        let shown = webhooks(&home, &["deliveries", &delivery, "--json"]).succeeded().out;
        serde_json::from_str::<Value>(&shown).unwrap()["attempt_count"].as_u64().filter(|count| *count > 4)
    };
    eventually(attempts, || "it was not sent again".to_owned());
    webhooks(&home, &["resend", &delivery]).refused(1, &["on its way already"]);
    let recover = ["recover", "--from", "2026-01-01T00:00:00Z"];
    webhooks(&home, &recover).succeeded().says(&["nothing failed in this time"]);
}

#[test]
fn without_a_sender_a_test_says_so() {
    let home = Home::ready();
    let (id, _) = add(&home, "http://127.0.0.1:9/");
    let ran = webhooks(&home, &["test", &id]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    ran.says(&["Is `webhook-assets serve` running on this database?"]);
    webhooks(&home, &["pause", &id]).succeeded();
    webhooks(&home, &["test", &id]).refused(1, &["is paused", "webhooks resume"]);
}

#[test]
fn the_limit_on_test_events_holds_for_the_command_too() {
    let home = Home::ready();
    let _server = serve(&home);
    let receiver = listen(&home, &[]);
    let (id, _) = add(&home, &url_of(&receiver));
    for _ in 0..webhook_assets::ledger::MAX_TESTS_PER_ENDPOINT {
        webhooks(&home, &["test", &id]).succeeded();
    }
    webhooks(&home, &["test", &id]).refused(1, &["too many test events", "10 a minute", "try again in"]);
}

#[test]
fn earlier_calls_are_counted_and_sent_to_an_endpoint() {
    let home = Home::ready();
    let server = serve(&home);
    for call in ["call-1", "call-2"] {
        assert_eq!(hand_in(&server, call, "a summary").status, 202);
    }
    let receiver = listen(&home, &[]);
    let (id, _) = add(&home, &url_of(&receiver));
    let day = SystemClock.now().0 - 86_400;
    let from = UnixSeconds(day).to_string();
    let backfill = ["backfill", &id, "--from", &from];
    webhooks(&home, &[&backfill[..], &["--dry-run"]].concat()).succeeded().says(&["2 calls would be sent"]);
    webhooks(&home, &backfill).succeeded().says(&["2 calls are due now"]);
    webhooks(&home, &backfill).succeeded().says(&["has every call since then"]);
    let old = ["backfill", &id, "--from", "2000-01-01T00:00:00Z"];
    webhooks(&home, &old).refused(2, &["not within webhooks.retention"]);
    webhooks(&home, &["backfill", "ep_none", "--from", &from]).refused(1, &["no endpoint ep_none"]);
}

#[test]
fn an_endpoint_is_chosen_to_get_late_assets() {
    let home = Home::ready();
    let added = webhooks(&home, &["add", "http://127.0.0.1:9/", "--late-assets", "--json"]).succeeded().out;
    let added: Value = serde_json::from_str(&added).unwrap();
    assert_eq!(added["late_assets"], true);
    let id = added["id"].as_str().unwrap();
    webhooks(&home, &["list"]).succeeded().says(&["[late assets]"]);
    webhooks(&home, &["late-assets", id, "false"]).succeeded().says(&["gets no call.updated"]);
    webhooks(&home, &["list"]).succeeded().hides(&["[late assets]".to_owned()]);
    webhooks(&home, &["late-assets", id, "true"]).succeeded().says(&["gets call.updated"]);
    webhooks(&home, &["late-assets", "ep_none", "true"]).refused(1, &["no endpoint ep_none"]);
}

#[test]
fn an_endpoint_is_changed_and_the_workspaces_are_listed() {
    let home = Home::ready();
    let (id, _) = add(&home, "http://127.0.0.1:9/");
    let change =
        ["change", &id, "--url", "http://127.0.0.1:9/new", "--description", "CRM", "--per-second", "5"];
    webhooks(&home, &change).succeeded().says(&["it sends to http://127.0.0.1:9/new"]);
    let changed = webhooks(&home, &["change", &id, "--per-second", "none", "--long-tail", "true", "--json"]);
    let changed: Value = serde_json::from_str(&changed.succeeded().out).unwrap();
    assert_eq!((&changed["description"], &changed["long_tail"]), (&"CRM".into(), &true.into()));
    assert_eq!((&changed["url"], &changed["per_second"]), (&"http://127.0.0.1:9/new".into(), &Value::Null));
    add(&home, "http://127.0.0.1:9/other");
    let duplicate = ["change", &id, "--url", "http://127.0.0.1:9/other"];
    webhooks(&home, &duplicate).refused(1, &["arrive there twice", "--allow-duplicate"]);
    webhooks(&home, &["change", &id, "--url", "https://10.0.0.1/"]).refused(1, &["10.0.0.1", "public"]);

    let workspaces = |more: &[&str]| {
        Ran::of(home.program(&[&["webhooks", "workspaces"], more].concat()).envs(home.sending())).succeeded()
    };
    workspaces(&[]).says(&["SINCE", "ENDPOINTS", "FAILING", "WORKSPACE", "acme"]);
    let listed: Value = serde_json::from_str(&workspaces(&["--json"]).out).unwrap();
    assert_eq!(
        (&listed["workspaces"][0]["workspace"], &listed["workspaces"][0]["endpoints"]),
        (&"acme".into(), &2.into())
    );
}

#[test]
fn a_recovery_is_followed_to_its_end() {
    let home = Home::ready();
    let server = serve(&home);
    let receiver = listen(&home, &["--status", "404"]);
    let (id, _) = add(&home, &url_of(&receiver));
    assert_eq!(hand_in(&server, "call-1", "a summary").status, 202);
    let failed = || {
        let listed = webhooks(&home, &["deliveries", "--status", "failed", "--from", "1h"]);
        listed.out.contains("call-1").then(|| listed.succeeded().says(&[&id, "ENDPOINT", "TRIES", "404"]))
    };
    eventually(failed, || "it did not fail".to_owned());
    let recover = ["recover", "--from", "1h", "--follow"];
    let ran = webhooks(&home, &recover);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "1 sent again: 0 delivered, 1 failed\n"), "{ran:?}");
    assert!(!ran.err.contains(['\r', '\u{1b}']), "{ran:?}");
    let address = receiver.address("receiver").to_string();
    drop(receiver);
    let mended = Running::start(home.bare(&["webhooks", "listen", "--listen", &address]));
    mended.address("receiver");
    let ran = webhooks(&home, &[&recover[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, json), (Some(0), serde_json::json!({"recovered": 1, "delivered": 1, "failed": 0})));
}

#[test]
fn a_test_alert_arrives_signed_or_says_what_is_wrong_and_the_list_shows_the_alerts() {
    let home = Home::ready();
    let secret = format!("whsec_{}", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    home.write("alerts.secret", &format!("{secret}\n"));
    let receiver = listen(&home, &["--secret-file", "alerts.secret"]);
    let test = |url: &str, more: &[&str]| {
        let mut command = home.program(&[&["webhooks", "alerts", "test"], more].concat());
        command
            .env("WEBHOOK_ASSETS_ALERTS_URL", url)
            .env("WEBHOOK_ASSETS_ALERTS_SECRET_FILE", "alerts.secret");
        Ran::of(&mut command).hides(std::slice::from_ref(&secret))
    };
    test(&url_of(&receiver), &[]).succeeded().says(&["test alert for 127.0.0.1:", "Delivered"]);
    receiver.prints("alert.test");
    receiver.prints("Standard Webhooks    good");
    test(&url_of(&receiver), &["--json"]).succeeded().says(&["\"delivered\":true", "\"code\":\"delivered\""]);
    let failed = test("http://127.0.0.1:9/hooks/s3cret", &[]).hides(&["s3cret".to_owned()]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    failed.says(&["test alert for 127.0.0.1:9", "refused"]);
    home.run(&["webhooks", "alerts", "test"])
        .refused(64, &["alerts.url: not set", "WEBHOOK_ASSETS_ALERTS_URL"]);

    add(&home, "http://127.0.0.1:9/hook");
    let list = |arguments: &[&str]| {
        let arguments = [&["webhooks", "alerts", "list"], arguments].concat();
        Ran::of(home.program(&arguments).envs(home.sending())).succeeded()
    };
    list(&[]).says(&["no alerts"]);
    assert_eq!(list(&["--json"]).out, "{\"alerts\":[]}\n");
}

#[test]
fn a_call_is_found_in_every_workspace_by_an_id_a_number_or_a_pasted_link() {
    let home = Home::ready();
    let server = serve(&home);
    let receiver = listen(&home, &[]);
    let (id, _) = add(&home, &url_of(&receiver));
    for call in ["call-11", "call-12"] {
        assert_eq!(hand_in(&server, call, "a summary").status, 202);
    }
    receiver.prints("#2  POST");
    let find = |arguments: &[&str]| {
        Ran::of(home.program(&[&["webhooks", "find"], arguments].concat()).envs(home.sending()))
    };
    let delivered = || find(&["call-11"]).out.contains("status      delivered").then_some(());
    eventually(delivered, || find(&["call-11"]).out);
    let url = url_of(&receiver);
    let words = ["call-11", "acme", &id, &url, "attempt 1  status 200"];
    find(&["call-11"]).succeeded().says(&words);
    find(&["+33600000000"]).succeeded().says(&["ACCEPTED", "WORKSPACE", "call-11", "call-12"]);
    let json: Value = serde_json::from_str(&find(&["11", "--json"]).succeeded().out).unwrap();
    assert_eq!(json["calls"][0]["deliveries"][0]["attempts"][0]["status"], 200);
    let pasted = format!("<{}>", home.link());
    // No call has this recording.
    let ran = find(&[&pasted]).says(&["brackets or quotes", "opens the recording", "no call is found"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    find(&["call-11", "--workspace", "acmee"]).refused(1, &["there is no workspace acmee"]);
    let json: Value = serde_json::from_str(&find(&["absent", "--json"]).out).unwrap();
    assert_eq!(json, serde_json::json!({"calls": [], "more": false, "link": null}));
}
