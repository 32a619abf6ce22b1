//! What the log says about requests that the private listener refuses.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::{Home, Server, request_head};
use crate::support::Answer;

fn ask(server: &Server, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(server.admin).unwrap();
    stream.write_all(request_head("POST", path, fields, b"").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, false).0
}

#[test]
fn a_refused_token_is_logged_once_in_a_while_with_its_peer_and_path_and_never_itself() {
    let home = Home::ready();
    home.write("token", "a-token-for-tests-0123456789\n");
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_ADMIN_TOKEN_FILE", home.path("token"));
    let server = Server::start(command);
    for _ in 0..20 {
        let fields = [("Authorization", "Bearer another-token-0123456789")];
        assert_eq!(ask(&server, "/v1/links?q=1", &fields).status, 401);
    }
    assert_eq!(ask(&server, "/v1/links", &[]).status, 401);
    server.logs("\"reason\":\"no_token\"");
    let err = server.err();
    let lines = err.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let refused: Vec<_> = lines.filter(|line| line["reason"] == "unknown_token").collect();
    assert_eq!(refused.len(), 1, "{err}");
    assert_eq!(refused[0]["message"], "the private listener refused a request");
    assert_eq!((&refused[0]["method"], &refused[0]["path"]), (&"POST".into(), &"/v1/links".into()));
    assert!(refused[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{err}");
    assert!(!err.contains("another-token"), "{err}");
}
