//! `serve` and `check` with a certificate.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::version::TLS13;

use super::{Home, Ran, Server, eventually, get, target_of};
use crate::support::client::request_head;
use crate::support::tls::{Pair, connect, trusting};
use crate::support::{Answer, recording};

const FILES: [(&str, &str); 2] =
    [("WEBHOOK_ASSETS_TLS_CERTIFICATE", "cert.pem"), ("WEBHOOK_ASSETS_TLS_KEY", "key.pem")];

fn serve(home: &Home) -> Server {
    let mut command = home.program(&["serve"]);
    command.envs(FILES).env("WEBHOOK_ASSETS_LOG_LEVEL", "debug");
    Server::start(command)
}

/// The answer over TLS to a client that trusts this certificate alone.
fn get_securely(server: &Server, pair: &Pair, link: &str) -> Option<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = connect(&trusting(&[pair], &[&TLS13], &[]), server.gateway).await.ok()?;
        stream.write_all(request_head("GET", target_of(link), &[], b"").as_bytes()).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        Some(Answer::parse(&bytes, false).0)
    })
}

#[test]
fn the_program_serves_tls_and_loads_a_renewed_certificate_on_sighup_and_by_itself() {
    let home = Home::ready();
    let first = Pair::fresh();
    first.write(&home.path(""));
    let server = serve(&home);
    assert!(server.out().contains("gateway listening on https://"), "{}", server.out());
    let link = home.link();
    assert!(get_securely(&server, &first, &link).unwrap().body == recording());
    assert_eq!(server.get(&link).code(), "tls_expected");
    server.logs("plain HTTP was spoken where TLS is");

    let second = Pair::good_for(50);
    second.write(&home.path(""));
    server.signal("HUP");
    let renewed = |pair| eventually(|| get_securely(&server, pair, &link), || "not in force".to_owned());
    assert_eq!(renewed(&second).status, 200);
    let third = Pair::good_for(60);
    third.write(&home.path(""));
    assert_eq!(renewed(&third).status, 200);
    let page = String::from_utf8(get(server.admin, "/metrics").body).unwrap();
    let line = page.lines().find(|line| line.starts_with("webhook_assets_certificate_expires_seconds "));
    let expires: u64 = line.unwrap().split_once(' ').unwrap().1.parse().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert_eq!((expires - now) / 86_400, 60);

    home.write("cert.pem", "no certificate");
    server.logs("the changed certificate is unusable; the old one stays in force");
    assert_eq!(renewed(&third).status, 200);
    for pair in [first, second, third] {
        for line in pair.key.lines().filter(|line| line.len() > 20 && !line.starts_with("---")) {
            assert!(!server.err().contains(line) && !server.out().contains(line), "the key is shown");
        }
    }
}

#[test]
fn unusable_files_end_the_start_with_one_line() {
    let home = Home::ready();
    let pair = Pair::fresh();
    let serve = |words: &[&str]| Ran::of(home.program(&["serve"]).envs(FILES)).refused(64, words);
    serve(&["tls", "cert.pem", "PEM"]);
    pair.write(&home.path(""));
    home.write("cert.pem", "nothing\n");
    serve(&["cert.pem", "no X.509 certificate"]);
    home.write("cert.pem", &Pair::fresh().certificate);
    serve(&["key.pem", "does not fit the certificate"]);
    home.write("key.pem", "nothing\n");
    serve(&["key.pem", "PEM"]);
}

#[test]
fn a_certificate_without_its_key_and_a_key_without_one_are_refused() {
    let home = Home::ready();
    for (name, missing) in [(FILES[0], "tls.key"), (FILES[1], "tls.certificate")] {
        Ran::of(home.program(&["serve"]).env(name.0, name.1)).refused(64, &[missing, "because"]);
    }
}

#[test]
fn check_says_until_when_the_certificate_is_valid() {
    let home = Home::ready();
    let check = || Ran::of(home.program(&["check"]).envs(FILES));
    Pair::good_for(90).write(&home.path(""));
    check().says(&["ok    TLS", "90 days from now"]);
    Pair::good_for(5).write(&home.path(""));
    check().says(&["warn  TLS", "in 5 days", "renewal"]);
    Pair::good_for(-3).write(&home.path(""));
    let ran = check().says(&["FAIL  TLS", "has expired", "renew it"]);
    assert_eq!(ran.code, Some(1));
    std::fs::remove_file(home.path("key.pem")).unwrap();
    check().says(&["FAIL  TLS", "key.pem"]);
    assert!(!home.run(&["check"]).out.contains("TLS"), "without a certificate there is nothing to say");
}
