//! `fixtures/vectors/webhook_signature.json`, printed by a script that shares no code with the sender.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::webhook::{
    CompletedCall, EventType, Links, Message, Resend, SignatureError, Signing, WEBHOOK_ID, WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP, WebhookSecret, X_WEBHOOK_SIGNATURE, verify_plain, verify_standard,
};

use crate::calls::base64;
use crate::interpreter::{ask, feed, present, root};
use crate::programs::Attempt;

const VECTORS: &str = include_str!("../../fixtures/vectors/webhook_signature.json");

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) now: u64,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) plain: String,
    pub(crate) standard: String,
}

impl Vector {
    pub(crate) fn all() -> Vec<Self> {
        serde_json::from_str::<Vectors>(VECTORS).unwrap().vectors
    }

    /// A header field, in small letters.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers()[name].to_str().unwrap().to_owned()
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

/// Starts a receiver with each secret. It must answer 200 to the vectors that are good by `X-Webhook-Signature`, and 401
/// to the others.
pub(crate) fn are_answered_as_they_say<R>(start: impl Fn(&WebhookSecret) -> (R, String)) {
    let vectors = Vector::all();
    let secrets: BTreeSet<_> = vectors.iter().map(|vector| &vector.secret).collect();
    assert_eq!(secrets.len(), 3);
    for secret in secrets {
        let (_running, url) = start(&WebhookSecret::parse(secret).unwrap());
        for vector in vectors.iter().filter(|vector| vector.secret == *secret) {
            let (status, answer) = Attempt::with(&vector.headers, &vector.body).post(&url);
            let expected = if vector.plain == "good" { 200 } else { 401 };
            assert_eq!(status, expected, "{}: {answer}", vector.name);
        }
    }
}

/// Asks a command, which judges by the header fields of Standard Webhooks: each line has them, the body and the secret, and
/// the second at which it is asked.
pub(crate) fn are_judged_as_they_say(command: &mut Command) {
    let vectors = Vector::all();
    let line = |vector: &Vector| {
        let fields =
            [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE].map(|name| vector.header(name.as_str()));
        let [body, id, at, signature] =
            [&vector.body, &fields[0], &fields[1], &fields[2]].map(|it| base64(it.as_bytes()));
        format!("{body} {id} {at} {signature} {} {}", vector.secret, vector.now)
    };
    let answers = ask(command, &vectors.iter().map(line).collect::<Vec<_>>());
    for (vector, answer) in vectors.iter().zip(answers) {
        assert_eq!(answer, (vector.standard == "good").to_string(), "{}", vector.name);
    }
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
            event_type: match body["event"].as_str().unwrap() {
                "call.updated" => EventType::CallUpdated,
                _ => EventType::CallCompleted,
            },
            call: body["call"]["id"].as_str().filter(|_| body.get("test").is_none()),
            resend: body["resend"].as_u64().map(|number| Resend {
                delivery: "dlv_019b2ce0b5407a3e8c1d5f6a7b8c9d0e_2",
                number: number.try_into().unwrap(),
            }),
        };
        let links = Links { recording: link("recording_url"), transcript: link("transcript_url") };
        let sent = call_of(&body).body(&message, links);
        assert_eq!(sent, vector.body, "{}", vector.name);
        let at = UnixSeconds(headers[WEBHOOK_TIMESTAMP].to_str().unwrap().parse().unwrap());
        assert_eq!(message.headers(&Signing::with(vector.secret()), at, &sent), headers, "{}", vector.name);
        same += 1;
    }
    assert_eq!(same, 6);
}

/// The call that the product posts to have this body sent.
fn call_of(body: &Value) -> CompletedCall {
    let mut call = body.clone();
    for (object, added) in
        [("", &["event", "test", "id", "resend"][..]), ("/call", &["recording_url", "transcript_url", "id"])]
    {
        let fields = call.pointer_mut(object).unwrap().as_object_mut().unwrap();
        fields.retain(|name, _| !added.contains(&name.as_str()));
    }
    CompletedCall::from_value(call).unwrap()
}
