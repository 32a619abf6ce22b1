//! Which address the access record names when proxies stand before the program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Home, Server, WAIT_LIMIT, target_of};

/// Serves behind a proxy at 127.0.0.1, sends these bytes before the request line and fields behind it, and returns the
/// recorded peer.
fn recorded(variables: &[(&str, &str)], before: &str, fields: &str) -> String {
    let home = Home::ready();
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_SERVER_TRUSTED_PROXIES", "127.0.0.1").envs(variables.iter().copied());
    let server = Server::start(command);
    let mut stream = TcpStream::connect(server.gateway).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let target = home.link();
    let target = target_of(&target);
    let request = format!("{before}GET {target} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    server.logs("sent the recording");
    let line = server.err().lines().find(|line| line.contains("sent the recording")).unwrap().to_owned();
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    let peer: SocketAddr = record["peer"].as_str().unwrap().parse().unwrap();
    peer.ip().to_string()
}

const PROTOCOL: (&str, &str) = ("WEBHOOK_ASSETS_SERVER_PROXY_PROTOCOL", "true");

fn header(name: &'static str) -> (&'static str, &'static str) {
    ("WEBHOOK_ASSETS_SERVER_CLIENT_HEADER", name)
}

#[test]
fn the_record_names_the_client_and_not_the_proxy() {
    let spoken = "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
    let both = "X-Forwarded-For: 203.0.113.1, 192.0.2.2\r\nForwarded: for=203.0.113.2, for=192.0.2.3\r\n";
    assert_eq!(recorded(&[PROTOCOL], spoken, both), "192.0.2.1");
    assert_eq!(recorded(&[header("x-forwarded-for")], "", both), "192.0.2.2");
    assert_eq!(recorded(&[header("Forwarded")], "", both), "192.0.2.3");
    assert_eq!(recorded(&[], "", both), "127.0.0.1", "no setting trusts it");
}

#[test]
fn a_client_behind_the_proxy_protocol_cannot_name_another_by_a_field() {
    // The header of the connection names a client that is not trusted, so its own header fields do not count.
    let spoken = "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
    let fields = "X-Forwarded-For: 203.0.113.1\r\n";
    assert_eq!(recorded(&[PROTOCOL, header("X-Forwarded-For")], spoken, fields), "192.0.2.1");
    // Another trusted proxy may.
    let chained = "PROXY TCP4 127.0.0.1 198.51.100.1 4711 443\r\n";
    assert_eq!(recorded(&[PROTOCOL, header("X-Forwarded-For")], chained, fields), "203.0.113.1");
}
