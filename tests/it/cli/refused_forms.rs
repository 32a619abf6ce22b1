//! The log says why the settings page refuses a form, and which setting to change.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Answer, Home, Server, request_head};

/// A server whose settings page has this URL, or none.
fn serve(home: &Home, console_url: &str) -> Server {
    let mut command = home.program(&["serve"]);
    command.envs(home.sending()).env("WEBHOOK_ASSETS_CONSOLE_URL", console_url);
    Server::start(command)
}

fn post(server: &Server, fields: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(server.admin).unwrap();
    let fields = [&[("Content-Type", "application/x-www-form-urlencoded")], fields].concat();
    let head = request_head("POST", "/console/enter", &fields, b"pass=x");
    stream.write_all(format!("{head}pass=x").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, false).0
}

fn lines(server: &Server) -> Vec<String> {
    server.err().lines().filter(|line| line.contains("a form was refused")).map(str::to_owned).collect()
}

#[test]
fn a_refused_form_is_logged_with_what_was_expected_what_came_and_the_setting_to_change() {
    let home = Home::ready();
    let (outside, inside) = (("Origin", "https://hooks.example.com"), ("Host", "10.0.0.5:8081"));
    let long = format!("https://{}.example", "x".repeat(1_000));
    // The URL of the page, the fields of the form, and the words of the log.
    let refused = |console_url: &str, fields: &[(&str, &str)], words: &[&str]| {
        let server = serve(&home, console_url);
        let answer = post(&server, fields);
        let page = String::from_utf8(answer.body.clone()).unwrap();
        assert!(answer.status == 403 && page.contains("console.url"), "{answer:?}");
        server.logs("a form was refused");
        let line = lines(&server).concat();
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert!(line.contains("\"level\":\"WARN\"") && line.len() < 700, "{line}");
    };
    let host = "http(s)://10.0.0.5:8081";
    refused("", &[outside, inside], &[outside.1, host, "console.url", "proxy_set_header Host"]);
    let same = ("Sec-Fetch-Site", "same-origin");
    let other = "https://hook.example.com";
    refused(&format!("{other}/x"), &[outside, same], &[outside.1, &format!("{other}\""), "console.url"]);
    refused(outside.1, &[], &["no Origin", "proxy"]);
    refused(outside.1, &[outside, ("Sec-Fetch-Site", "cross-site")], &["cross-site", "another site"]);
    refused(outside.1, &[("Origin", &long)], &["console.url"]);
}

#[test]
fn a_hostile_client_cannot_fill_the_log_with_refused_forms() {
    let home = Home::ready();
    let server = serve(&home, "https://hooks.example.com");
    for _ in 0..100 {
        assert_eq!(post(&server, &[("Origin", "https://evil.example")]).status, 403);
    }
    server.logs("a form was refused");
    // One line in ten seconds: a slow machine may write more than one.
    assert!(lines(&server).len() < 10, "{:?}", lines(&server));
}
