//! `fixtures/vectors/webhook_signature.json`, printed by a script that shares no code with the sender.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::webhook::{
    CompletedCall, Links, Message, Resend, SignatureError, Signing, WEBHOOK_TIMESTAMP, WebhookSecret,
    X_WEBHOOK_SIGNATURE, verify_plain, verify_standard,
};

use crate::interpreter::{feed, present, root};

const VECTORS: &str = include_str!("../../fixtures/vectors/webhook_signature.json");

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    secret: String,
    now: u64,
    headers: BTreeMap<String, String>,
    body: String,
    plain: String,
    standard: String,
}

impl Vector {
    fn all() -> Vec<Self> {
        serde_json::from_str::<Vectors>(VECTORS).unwrap().vectors
    }

    fn headers(&self) -> HeaderMap {
        let field = |(name, value): (&String, &String)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
        };
        self.headers.iter().map(field).collect()
    }

    fn secret(&self) -> WebhookSecret {
        WebhookSecret::parse(&self.secret).unwrap()
    }
}

#[test]
fn the_file_is_exactly_what_its_script_prints() {
    let Some(python) = present(Path::new("python3"), "the vectors' script is not tried") else { return };
    let script = root().join("fixtures/make/webhook_vectors.py");
    let printed = feed(Command::new(python).arg(script), b"").stdout;
    let command = "python3 fixtures/make/webhook_vectors.py > fixtures/vectors/webhook_signature.json";
    assert!(printed == VECTORS.as_bytes(), "run: {command}");
}

#[test]
fn every_vector_is_judged_as_it_says() {
    for vector in Vector::all() {
        let (secret, headers, body) = (vector.secret(), vector.headers(), vector.body.as_bytes());
        let plain = verify_plain(&secret, body, headers[X_WEBHOOK_SIGNATURE].to_str().unwrap());
        assert_eq!(plain, vector.plain == "good", "{}", vector.name);
        let tolerance = Duration::from_secs(300);
        let standard = match verify_standard(&secret, &headers, body, UnixSeconds(vector.now), tolerance) {
            Ok(()) => "good",
            Err(SignatureError::DoesNotFit) => "does not fit",
            Err(SignatureError::TooOld(_)) => "too old",
            Err(error) => panic!("{}: {error}", vector.name),
        };
        assert_eq!(standard, vector.standard, "{}", vector.name);
    }
}

/// The sender makes the same bodies and header fields.
#[test]
fn every_vector_that_one_secret_signs_is_what_the_sender_sends() {
    let mut same = 0;
    for vector in Vector::all().iter().filter(|it| it.plain == "good" && it.standard == "good") {
        let (headers, body) = (vector.headers(), serde_json::from_str::<Value>(&vector.body).unwrap());
        if headers["webhook-signature"].to_str().unwrap().contains(' ') {
            continue;
        }
        let link = |name| body["call"][name].as_str();
        let message = Message {
            event: body["id"].as_str().unwrap(),
            call: body["call"]["id"].as_str().filter(|_| body.get("test").is_none()),
            resend: body["resend"].as_u64().map(|number| Resend {
                delivery: "dlv_019b2ce0b5407a3e8c1d5f6a7b8c9d0e_2",
                number: number.try_into().unwrap(),
            }),
        };
        let links = Links { recording: link("recording_url"), transcript: link("transcript_url") };
        let sent = CompletedCall::sample().body(&message, links);
        assert_eq!(sent, vector.body, "{}", vector.name);
        let at = UnixSeconds(headers[WEBHOOK_TIMESTAMP].to_str().unwrap().parse().unwrap());
        assert_eq!(message.headers(&Signing::with(vector.secret()), at, &sent), headers, "{}", vector.name);
        same += 1;
    }
    assert_eq!(same, 4);
}
