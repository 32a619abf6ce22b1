//! Random completed calls: every plane of Unicode, control characters, nulls, long texts, every status.

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use webhook_assets::ledger::is_name;
use webhook_assets::webhook::{CallStatus, CompletedCall, Direction, EventType, Links, Message, Resend};

/// How many calls each property test sees.
const CASES: usize = 3_000;

/// The bodies of some thousand calls, the same on every run; each with a copy in which one bit is flipped.
pub(crate) static BODIES: LazyLock<Vec<(Bytes, Vec<u8>)>> = LazyLock::new(|| {
    let mut runner = TestRunner::deterministic();
    let strategy = any_event();
    let bodies = (0..CASES).map(|case| {
        let (call, call_id, resend, recording, transcript, test) =
            strategy.new_tree(&mut runner).unwrap().current();
        let call = CompletedCall::from_value(call).unwrap();
        let read_back = CompletedCall::parse(&serde_json::to_vec(&call).unwrap()).unwrap();
        assert_eq!(read_back, call);
        let links = Links { recording: recording.as_deref(), transcript: transcript.as_deref() };
        let resend = resend.map(|number| Resend { delivery: "dlv_1_1", number });
        let message = Message {
            event: "msg_1",
            event_type: EventType::CallCompleted,
            call: (!test).then_some(call_id.as_str()),
            resend,
        };
        let body = call.body(&message, links);
        assert_eq!(read_back.body(&message, links), body);
        let flipped = flipped(&body, case * 31);
        (body, flipped)
    });
    bodies.collect()
});

/// The body with one bit flipped so that its meaning changes (an escape like `\u001f` may be written `\u001F`).
fn flipped(body: &[u8], seed: usize) -> Vec<u8> {
    let said: Value = serde_json::from_slice(body).unwrap();
    (0..)
        .map(|step| {
            let mut other = body.to_vec();
            let bit = (seed + step * 7919) % (body.len() * 8);
            other[bit / 8] ^= 1 << (bit % 8);
            other
        })
        .find(|other| {
            std::str::from_utf8(other).is_ok()
                && serde_json::from_slice::<Value>(other).map_or(true, |other| other != said)
        })
        .unwrap()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

type Event = (Value, String, Option<u32>, Option<String>, Option<String>, bool);

fn any_event() -> impl Strategy<Value = Event> {
    let link = || {
        proptest::option::of(
            "https://app\\.example\\.com/api/[a-z/]{0,20}\\?expires=[0-9]{10}&sig=[0-9a-f]{64}",
        )
    };
    (any_call(), any_name(), proptest::option::of(1..u32::MAX), link(), link(), any::<bool>())
}

fn any_call() -> impl Strategy<Value = Value> {
    let call = (
        0..253_402_300_800_000_u64,
        proptest::sample::select(CallStatus::ALL),
        proptest::sample::select(Direction::ALL),
        prop_oneof![0..10_000_u64, Just((1 << 53) - 1), 0..1_u64 << 53],
        [any_text(), any_text()],
        or_null(),
    );
    let prospect = proptest::option::of(proptest::array::uniform7(or_null()));
    let list = proptest::option::of([any_text(), any_text()]);
    (call, prospect, [any_text(), any_text()], list).prop_map(|(call, prospect, user, list)| {
        let (millis, status, direction, duration, [from, to], summary) = call;
        json!({
            "call": {
                "ended_at": webhook_assets::clock::UnixMillis(millis).to_string(),
                "status": status.name(),
                "direction": direction.name(),
                "duration_seconds": duration,
                "from_number": from,
                "to_number": to,
                "summary": summary,
            },
            "prospect": prospect.map(|texts| PROSPECT.into_iter().zip(texts).map(named).collect::<Map<_, _>>()),
            "user": {"name": user[0], "email": user[1]},
            "list": list.map(|[name, id]| json!({"list_name": name, "list_id": id})),
        })
    })
}

const PROSPECT: [&str; 7] =
    ["first_name", "last_name", "email", "company", "job_title", "crm_contact_id", "crm_company_id"];

fn named((name, text): (&str, Option<String>)) -> (String, Value) {
    (name.to_owned(), text.into())
}

/// A call's id: 1 to 128 visible characters.
fn any_name() -> impl Strategy<Value = String> {
    proptest::collection::vec(any_char(), 0..127).prop_map(|chars| {
        let visible = chars.iter().filter(|c| is_name(&c.to_string()));
        std::iter::once(&'#').chain(visible).collect()
    })
}

fn or_null() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(any_text())
}

/// Boxed: one call has two dozen of these, and their trees would not fit on a thread's stack.
fn any_text() -> BoxedStrategy<String> {
    prop_oneof![
        200 => "[a-zA-Z0-9 .@+-]{0,24}",
        200 => proptest::collection::vec(any_char(), 0..40).prop_map(String::from_iter),
        50 => any::<String>(),
        // Text that looks like something else.
        50 => proptest::sample::select(vec!["", "null", "</script>", "{\"a\":1}", "\\u2028", "\\", "\"", "-0", "1e3", "__proto__"])
            .prop_map(str::to_owned),
        // 100 KB, rarely.
        1 => (any_char(), any_char()).prop_map(|(a, b)| String::from_iter([a, b]).repeat(100_000 / (a.len_utf8() + b.len_utf8()))),
    ]
    .boxed()
}

fn any_char() -> impl Strategy<Value = char> {
    prop_oneof![
        proptest::char::range('\0', '\u{1f}'),
        proptest::char::range('\u{7f}', '\u{9f}'),
        proptest::char::range(' ', '~'),
        proptest::sample::select(vec![
            '"', '\\', '/', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffd}', '\u{fffe}', '\u{ffff}',
            '\u{d7ff}', '\u{e000}', '\u{200d}', '\u{202e}', '\u{301}',
        ]),
        // Every plane, each as likely as the others; surrogates are no characters.
        (0..=16_u32, 0..=0xffff_u32)
            .prop_filter_map("no surrogates", |(plane, low)| char::from_u32((plane << 16) | low)),
    ]
}
