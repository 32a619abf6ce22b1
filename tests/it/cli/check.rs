//! `check` and `health`.

use std::net::TcpListener;

use super::{Home, Ran, Running};

/// The failing lines of a report.
fn failures(ran: &Ran) -> Vec<&str> {
    ran.out.lines().filter(|line| line.starts_with("FAIL")).collect()
}

#[test]
fn a_good_setup_passes_every_check() {
    let home = Home::ready();
    let ran = home.run(&["check"]).succeeded().hides(&home.secrets("keys.json"));
    for what in ["settings", "keyring", "clock", "store", "public URL", "admin", "webhooks"] {
        let line = ran.out.lines().find(|line| line.starts_with(&format!("ok    {what}")));
        assert!(line.is_some(), "{what}: {}", ran.out);
    }
    assert!(ran.out.lines().all(|line| line.starts_with("ok ")), "{}", ran.out);
}

#[test]
fn each_broken_part_fails_and_says_what_to_do() {
    let broken: [(&str, &str, &[&str]); 6] = [
        ("WEBHOOK_ASSETS_KEYS", "absent.json", &["keyring", "webhook-assets keys new"]),
        ("WEBHOOK_ASSETS_KEYS", "empty.json", &["keyring", "webhook-assets keys new"]),
        ("WEBHOOK_ASSETS_KEYS", "waiting.json", &["keyring", "keys rotate --starts-in 0s"]),
        ("WEBHOOK_ASSETS_STORE", "file:///nowhere/at/all", &["store", "/nowhere/at/all", "create it"]),
        ("WEBHOOK_ASSETS_WEBHOOKS_PROXY", "http://127.0.0.1:9", &["webhooks.proxy", "127.0.0.1:9", "wait"]),
        ("WEBHOOK_ASSETS_PUBLIC_URL", "https://x.example/webhook-assets", &["public URL", "leave it out"]),
    ];
    let home = Home::ready();
    home.write("empty.json", "{\"version\": 1, \"keys\": []}");
    let key = "5a".repeat(32);
    home.write(
        "waiting.json",
        &format!(r#"{{"version":1,"keys":[{{"id":"k","secret":"{key}","starts":"2190-01-01T00:00:00Z"}}]}}"#),
    );
    for (name, value, words) in broken {
        let ran = Ran::of(home.program(&["check"]).env(name, value)).hides(std::slice::from_ref(&key));
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{value}: {ran:?}");
        let failed = failures(&ran);
        assert_eq!(failed.len(), 1, "{value}: {ran:?}");
        assert!(words.iter().all(|word| failed[0].contains(word)), "{value}: {failed:?}");
    }
}

#[test]
fn a_cloud_store_that_does_not_answer_fails() {
    let home = Home::ready();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = home.program(&["check"]);
    command
        .env("WEBHOOK_ASSETS_STORE", "s3://bucket/prefix")
        .env("WEBHOOK_ASSETS_STORE_FIRST_BYTE_TIMEOUT", "500ms")
        .env("AWS_ENDPOINT_URL", format!("http://{closed}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "a-secret-that-nobody-may-see");
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let ran = ran.hides(&["a-secret-that-nobody-may-see".to_owned()]);
    assert!(
        matches!(failures(&ran)[..], [line] if line.contains("store") && line.contains("endpoint")),
        "{ran:?}"
    );
}

#[test]
fn an_odd_setup_is_a_warning_and_no_failure() {
    use std::os::unix::fs::PermissionsExt;

    let home = Home::ready();
    std::fs::set_permissions(home.path("keys.json"), PermissionsExt::from_mode(0o640)).unwrap();
    std::fs::remove_dir_all(home.path("store/transcripts")).unwrap();
    let mut command = home.program(&["check"]);
    command.env("WEBHOOK_ASSETS_PUBLIC_URL", "http://127.0.0.1:8080").env("WEBHOOK_ASSETS_STOER", "x");
    let ran = Ran::of(&mut command).succeeded();
    let warned = ran.out.lines().filter(|line| line.starts_with("warn")).count();
    assert_eq!(warned, 4, "{}", ran.out);
    ran.says(&["chmod 600", "there is no folder", "nobody else can follow", "WEBHOOK_ASSETS_STORE?"]);
}

#[test]
fn a_folder_of_recordings_that_is_a_symlink_fails_and_serving_warns_of_it() {
    let home = Home::ready();
    std::fs::rename(home.path("store/recordings"), home.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.path("elsewhere"), home.path("store/recordings")).unwrap();
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        matches!(failures(&ran)[..], [line] if line.contains("store/recordings is a symlink") && line.contains("bind")),
        "{ran:?}"
    );
    let server = home.serve();
    assert_eq!(server.get(&home.link()).status, 404);
    server.logs("store/recordings");
}

#[test]
fn the_webhooks_database_and_its_key_are_checked_without_being_created() {
    use std::os::unix::fs::PermissionsExt;

    let home = Home::ready();
    let check = || Ran::of(home.program(&["check"]).envs(home.sending()));
    check().succeeded().says(&["calls.db is made on the first start"]);
    assert!(!home.path("calls.db").exists() && !home.path("calls.db.key").exists());

    let add = ["webhooks", "add", "--workspace", "acme", "http://127.0.0.1:9/"];
    Ran::of(home.program(&add).envs(home.sending())).succeeded();
    let ran = check().succeeded().says(&["calls.db answers", "webhooks.allow_http", "127.0.0.0/8"]);
    assert!(!ran.out.contains("chmod"), "{ran:?}");
    std::fs::set_permissions(home.path("calls.db.key"), PermissionsExt::from_mode(0o644)).unwrap();
    check().succeeded().says(&["chmod 600", "calls.db.key"]);

    let elsewhere =
        |database: &str| Ran::of(home.program(&["check"]).env("WEBHOOK_ASSETS_DATABASE", database));
    home.write("text.db", "this is no database, however long it is");
    for (database, words) in [
        ("/nowhere/calls.db", &["webhooks", "create the folder"][..]),
        ("text.db", &["webhooks", "text.db"]),
        ("postgres://user:hunter2@127.0.0.1:1/calls", &["webhooks", "secret_key_file"]),
    ] {
        let ran = elsewhere(database).hides(&["hunter2".to_owned()]);
        assert_eq!((ran.code, failures(&ran).len()), (Some(1), 1), "{database}: {ran:?}");
        assert!(words.iter().all(|word| failures(&ran)[0].contains(word)), "{database}: {ran:?}");
    }
}

#[test]
fn a_wrong_setting_fails_with_64() {
    let home = Home::ready();
    let ran = Ran::of(home.program(&["check"]).env("WEBHOOK_ASSETS_LISTEN", "8080"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(64), ""), "{ran:?}");
    assert!(
        matches!(failures(&ran)[..], [line] if line.contains("listen") && line.contains("127.0.0.1:8080"))
    );
}

#[test]
fn colours_are_for_terminals_and_on_request() {
    let home = Home::ready();
    let coloured = |variables: &[(&str, &str)]| {
        let ran = Ran::of(home.program(&["check"]).envs(variables.iter().copied())).succeeded();
        ran.out.contains('\x1b')
    };
    assert!(!coloured(&[]), "a pipe");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    let ran = Ran::of(home.program(&["keys", "retire", "nobody"]).env("NO_COLOR", "1"));
    assert!(!ran.err.contains('\x1b') && ran.err.starts_with("error: "), "{ran:?}");
}

#[test]
fn health_is_the_health_of_a_running_server() {
    let home = Home::ready();
    let server = home.serve();
    let admin = server.admin.to_string();
    let health = |address: &str| {
        // A container's health check has this one setting and no other.
        Ran::of(home.bare(&["health"]).env("WEBHOOK_ASSETS_ADMIN_LISTEN", address))
    };
    assert_eq!(health(&admin).succeeded().out, "ok\n");
    assert_eq!(health(&format!("0.0.0.0:{}", server.admin.port())).succeeded().out, "ok\n");
    health(&server.gateway.to_string()).refused(1, &["/healthz answered", "404"]);
    drop(server);
    health(&admin).refused(1, &[&admin, "is the server running?"]);
    health("nowhere").refused(64, &["admin.listen", "\"nowhere\""]);
}

#[test]
fn the_receiver_of_alerts_is_reached_or_its_line_fails_and_neither_shows_its_url() {
    let home = Home::ready();
    let receiver = Running::start(home.bare(&["webhooks", "listen", "--listen", "127.0.0.1:0"]));
    let check = |address: &str| {
        let mut command = home.program(&["check"]);
        command
            .env("WEBHOOK_ASSETS_ALERTS_URL", format!("http://{address}/services/s3cret"))
            .env("WEBHOOK_ASSETS_ALERTS_FORMAT", "slack");
        Ran::of(&mut command).hides(&["s3cret".to_owned()])
    };
    let address = receiver.address("receiver").to_string();
    let line = format!("alerts.url: {address} is reached");
    check(&address).succeeded().says(&[&line, "webhooks alerts test"]);
    let failed = check("127.0.0.1:9");
    assert_eq!((failed.code, failures(&failed).len()), (Some(1), 1), "{failed:?}");
    failed.says(&["alerts.url: 127.0.0.1:9: The connection was refused"]);
}

#[test]
fn alerts_as_json_need_a_secret() {
    let home = Home::ready();
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_ALERTS_URL", "https://ops.example.com/s3cret");
    let refused = Ran::of(&mut command).hides(&["s3cret".to_owned()]);
    refused.refused(64, &["alerts.secret_file", "a file with a secret", "slack"]);
}
