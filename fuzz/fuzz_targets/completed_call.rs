//! A call as the product posts it. An accepted call makes a body that survives `JSON.stringify(JSON.parse(body))`; a
//! refusal quotes no word of the call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use webhook_assets::webhook::{CompletedCall, EventType, Links, Message};

/// The largest integer that JavaScript reads exactly.
const LARGEST_EXACT_INTEGER: u64 = (1 << 53) - 1;

/// Stands for a private value in the fuzzer's text.
const PRIVATE_HERE: char = '\u{1}';
const PRIVATE: &str = "7f3a-nobodys-business";

fuzz_target!(|text: &str| {
    let text = text.replace(PRIVATE_HERE, PRIVATE);
    match CompletedCall::parse(text.as_bytes()) {
        Ok(call) => accepted(&call),
        // An error may show the name of a field.
        Err(error) if !serde_json::from_str(&text).is_ok_and(|value| names_it(&value)) => {
            let shown = format!("{error} {}", error.pointer());
            assert!(!shown.contains(PRIVATE), "{shown}");
            assert!(shown.len() < 1_500, "{shown}");
        }
        Err(_) => {}
    }
});

fn accepted(call: &CompletedCall) {
    assert!(!format!("{call:?}").contains(PRIVATE));
    let kept = serde_json::to_vec(call).expect("what was accepted can be written");
    assert_eq!(CompletedCall::parse(&kept).as_ref(), Ok(call), "what is kept is what was accepted");
    let link = Some("https://app.example.com/api/webhook-assets/recording/x?expires=1&sig=2");
    for (links, test) in [(Links::default(), false), (Links { recording: link, transcript: link }, true)] {
        let message = Message { event: "msg_1", event_type: EventType::CallCompleted, call: (!test).then_some("call-1"), resend: None };
        let body = call.body(&message, links);
        let value: Value = serde_json::from_slice(&body).expect("a body is JSON");
        assert_eq!(serde_json::to_vec(&value).unwrap(), body, "names in order, none twice, compact");
        exact(&value);
        assert_eq!(value.get("test").is_some(), test);
        assert_eq!(value["call"]["recording_url"].is_null(), links.recording.is_none());
    }
}

/// JavaScript parses every number exactly, and would move no name to the front.
fn exact(value: &Value) {
    match value {
        Value::Number(number) => assert!(number.as_u64().is_some_and(|n| n <= LARGEST_EXACT_INTEGER), "{number}"),
        Value::Array(values) => values.iter().for_each(exact),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            assert!(name.parse::<u64>().is_err(), "{name}");
            exact(value);
        }),
        _ => {}
    }
}

fn names_it(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(names_it),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains(PRIVATE) || names_it(value)),
        _ => false,
    }
}
