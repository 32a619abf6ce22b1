//! The program without the sender: `cargo test --no-default-features --features gateway --test gateway_alone`.
#![cfg(not(feature = "sender"))]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-assets"));
    command.env_clear().args(arguments).envs(variables.iter().copied());
    command.output().unwrap()
}

fn error(arguments: &[&str], variables: &[(&str, &str)], code: i32) -> String {
    let output = run(arguments, variables);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    error
}

#[test]
fn commands_of_the_sender_name_what_the_build_lacks() {
    for arguments in [&["webhooks", "list", "--workspace", "acme"][..], &["webhooks", "listen"]] {
        assert!(error(arguments, &[], 2).contains("this build has no sender"), "{arguments:?}");
    }
}

#[test]
fn settings_of_parts_that_are_not_built_are_errors_unless_they_are_the_defaults() {
    for (variable, key, part) in [
        ("WEBHOOK_ASSETS_DATABASE", "webhooks.database", "no sender"),
        ("WEBHOOK_ASSETS_CONSOLE_URL", "console.url", "no settings page"),
    ] {
        let error =
            error(&["keys", "list"], &[(variable, "sqlite:/tmp/x.db"), ("WEBHOOK_ASSETS_KEYS", "k")], 64);
        assert!(error.contains(key) && error.contains(part), "{error}");
    }
    let folder = std::env::temp_dir().join(format!("gateway_alone_{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (defaults, keys) = (folder.join("defaults.toml"), folder.join("keys.json"));
    std::fs::write(&defaults, run(&["config"], &[]).stdout).unwrap();
    let (defaults, keys) = (defaults.to_str().unwrap(), [("WEBHOOK_ASSETS_KEYS", keys.to_str().unwrap())]);
    assert!(run(&["--config", defaults, "keys", "new"], &keys).status.success());
    let variables = [
        keys[0],
        ("WEBHOOK_ASSETS_PUBLIC_URL", "http://localhost"),
        ("WEBHOOK_ASSETS_STORE", "memory:///"),
        ("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    let error = error(&["serve", "--only", "sender"], &variables, 2);
    assert!(error.contains("this build has no sender"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_demo_has_links_and_no_webhook_without_the_sender() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-assets"));
    command.env_clear().args(["demo", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut demo = command.spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut printed: Vec<_> = lines.take_while(|line| !line.ends_with(" serve")).collect();
    demo.kill().unwrap();
    demo.wait().unwrap();
    printed.retain(|line| line.starts_with("  curl "));
    assert_eq!(printed.len(), 3, "{printed:?}");
}
