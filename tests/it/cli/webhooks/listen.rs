//! `webhooks listen`: what it prints about each request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use webhook_assets::clock::{Clock, SystemClock};
use webhook_assets::webhook::{Signing, WebhookSecret};

use super::super::{Home, Running, WAIT_LIMIT};
use super::listen;
use crate::support::Answer;
use crate::support::client::request_head;

const BODY: &[u8] = br#"{"event":"call.completed","call":{"status":"connected"}}"#;

fn post(receiver: &Running, fields: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(receiver.address("receiver")).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let head = request_head("POST", "/hook?a=1", fields, body);
    // The receiver may answer before it has read everything.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Answer::parse(&answer, false).0
}

/// Posts `body` with the signatures of the signed body.
fn post_signed(receiver: &Running, secret: &WebhookSecret, signed: &[u8], body: &[u8]) -> Answer {
    let headers = Signing::with(secret.clone()).headers("msg_1", SystemClock.now(), signed);
    let fields: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    post(receiver, &fields, body)
}

#[test]
fn a_receiver_says_what_arrived_and_whether_its_signatures_are_good() {
    let home = Home::without_keys();
    let secret = WebhookSecret::generate().unwrap();
    let receiver = listen(&home, &["--secret", secret.reveal()]);
    assert_eq!(post_signed(&receiver, &secret, BODY, BODY).status, 200);
    receiver.prints("Standard Webhooks    good");
    for words in [
        "#1  POST /hook?a=1",
        "webhook-id: msg_1",
        "  \"event\": \"call.completed\",",
        "X-Webhook-Signature  good",
    ] {
        receiver.prints(words);
    }
    post_signed(&receiver, &secret, BODY, &[BODY, b"\n"].concat());
    receiver.prints("X-Webhook-Signature  BAD: it fits the body without the line break at its end");
    let value: serde_json::Value = serde_json::from_slice(BODY).unwrap();
    post_signed(&receiver, &secret, BODY, format!("{value:#}").as_bytes());
    receiver.prints("X-Webhook-Signature  BAD: it fits only the body parsed and written again");
    post_signed(&receiver, &WebhookSecret::generate().unwrap(), BODY, BODY);
    receiver.prints("X-Webhook-Signature  BAD: it fits neither these bytes nor the parsed body: the secret is another one");
    post(&receiver, &[], b"no json \x1b[2J");
    receiver.prints("the body is not JSON");
    receiver.prints("X-Webhook-Signature  BAD: the header field is missing");
    receiver.prints("no json \\u{1b}[2J");
    assert!(!receiver.out().contains(['\x1b']) && !receiver.out().contains(secret.reveal()));
}

#[test]
fn the_receiver_can_fail_or_be_slow_on_request() {
    let home = Home::without_keys();
    let receiver = listen(&home, &["--status", "503", "--delay", "400ms"]);
    receiver.prints("Without a secret signatures are not checked");
    let started = Instant::now();
    assert_eq!(post(&receiver, &[], BODY).status, 503);
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert!(!receiver.out().contains("X-Webhook-Signature "));
}

#[test]
fn a_body_of_more_than_a_mebibyte_is_refused() {
    let home = Home::without_keys();
    let receiver = listen(&home, &[]);
    assert_eq!(post(&receiver, &[], &vec![b' '; 1 << 20]).status, 200);
    assert_eq!(post(&receiver, &[], &vec![b' '; (1 << 20) + 1]).status, 413);
    receiver.prints("larger than 1 MiB");
}

#[test]
fn a_secret_that_cannot_be_one_is_refused_and_not_repeated() {
    let home = Home::without_keys();
    let mistyped = "whsec_0123456789";
    home.write("secret", mistyped);
    for arguments in [["--secret", mistyped], ["--secret-file", "secret"]] {
        let arguments = [&["webhooks", "listen", "--listen", "127.0.0.1:0"][..], &arguments].concat();
        home.run(&arguments).refused(2, &[arguments[4], "webhook secret"]).hides(&["0123456789".to_owned()]);
    }
    home.run(&["webhooks", "listen", "--secret-file", "absent"]).refused(2, &["--secret-file absent"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let occupied = std::net::TcpListener::bind(taken).unwrap();
    home.run(&["webhooks", "listen", "--listen", &occupied.local_addr().unwrap().to_string()])
        .refused(1, &["cannot be listened on", "--listen"]);
    for wrong in [["--status", "99"], ["--status", "600"], ["--delay", "soon"]] {
        let ran = home.run(&[&["webhooks", "listen"][..], &wrong].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
}
