//! `tokens new`, `list`, `revoke`, and a running program that takes them up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{Home, Server, eventually};
use crate::support::client::request_head;
use crate::support::{Answer, CALL};

const FILE: [&str; 2] = ["--tokens-file", "tokens.json"];

fn run(home: &Home, arguments: &[&str]) -> super::Ran {
    home.run(&[arguments, &FILE].concat())
}

#[test]
fn a_token_is_shown_once_and_its_hash_kept() {
    let home = Home::ready();
    let made =
        run(&home, &["tokens", "new", "crm", "--scopes", "calls,portal", "--workspaces", "acme"]).succeeded();
    let token = made.out.trim().to_owned();
    assert!(token.starts_with("wat_") && token.len() == 52, "{token}");
    assert!(!home.read("tokens.json").contains(&token));
    let mode = std::fs::metadata(home.path("tokens.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    run(&home, &["tokens", "new", "crm", "--scopes", "read"]).refused(1, &["crm already", "revoke"]);
    run(&home, &["tokens", "new", "b", "--scopes", "mint", "--workspaces", "acme"])
        .refused(1, &["mint", "all workspaces"]);
    let wrong = run(&home, &["tokens", "new", "b", "--scopes", "all"]).says(&["mint, calls, read"]);
    assert_eq!(wrong.code, Some(2));
    let listed = run(&home, &["tokens", "list"]).succeeded().hides(&[token]).out;
    assert!(listed.contains("crm") && listed.contains("calls,portal") && listed.contains("acme"), "{listed}");
    let json: Value =
        serde_json::from_str(&run(&home, &["tokens", "list", "--json"]).succeeded().out).unwrap();
    assert_eq!(json["tokens"][0]["scopes"], serde_json::json!(["calls", "portal"]));
    run(&home, &["tokens", "revoke", "crm"]).succeeded();
    run(&home, &["tokens", "revoke", "crm"]).refused(1, &["no token crm"]);
}

#[test]
fn the_commands_need_a_tokens_file() {
    Home::ready()
        .run(&["tokens", "list"])
        .refused(64, &["admin.tokens_file", "WEBHOOK_ASSETS_ADMIN_TOKENS_FILE"]);
}

/// The status of a link minted with this token.
fn mint(server: &Server, token: &str) -> u16 {
    let body = format!("{{\"kind\": \"recording\", \"id\": \"{CALL}\"}}");
    let bearer = format!("Bearer {token}");
    let fields = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let mut stream = TcpStream::connect(server.admin).unwrap();
    stream.write_all(request_head("POST", "/v1/links", &fields, body.as_bytes()).as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, false).0.status
}

#[test]
fn a_running_program_takes_up_new_and_revoked_tokens() {
    let home = Home::ready();
    home.write("token", "the-token-that-has-always-worked\n");
    let settings = "[admin]\ntoken_file = \"token\"\ntokens_file = \"tokens.json\"\n";
    home.write("settings.toml", settings);
    let server = Server::start(home.program(&["serve", "--config", "settings.toml"]));
    assert_eq!(mint(&server, "the-token-that-has-always-worked"), 200);
    assert_eq!(mint(&server, "none"), 401);
    let made = run(&home, &["tokens", "new", "minter", "--scopes", "mint"]).succeeded();
    let token = made.out.trim();
    eventually(|| (mint(&server, token) == 200).then_some(()), || "the token does not mint".to_owned());
    run(&home, &["tokens", "revoke", "minter"]).succeeded();
    eventually(|| (mint(&server, token) == 401).then_some(()), || "the token still mints".to_owned());
    assert_eq!(mint(&server, "the-token-that-has-always-worked"), 200);
    assert!(!server.err().contains(token));
}
