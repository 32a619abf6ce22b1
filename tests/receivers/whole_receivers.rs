//! The whole receivers of the pages take genuine events, and nothing else.

use webhook_assets::webhook::{CompletedCall, EventType, Links, Message, Resend, WebhookSecret};

use crate::programs::Attempt;
use crate::servers::{self, Server};
use crate::vectors;

const MESSAGE: Message<'static> =
    Message { event: "msg_1", event_type: EventType::CallCompleted, call: Some("call-1"), resend: None };

#[test]
fn the_receiver_in_node_takes_genuine_events_once_and_resends_too() {
    takes_genuine_events_once(servers::node);
}

#[test]
fn the_receiver_in_go_takes_genuine_events_once_and_resends_too() {
    takes_genuine_events_once(servers::go);
}

#[test]
fn the_receiver_in_ruby_takes_genuine_events_once_and_resends_too() {
    takes_genuine_events_once(servers::ruby);
}

#[test]
fn the_receiver_in_java_takes_genuine_events_once_and_resends_too() {
    takes_genuine_events_once(servers::java);
}

#[test]
fn the_receiver_in_csharp_takes_genuine_events_once_and_resends_too() {
    takes_genuine_events_once(servers::csharp);
}

#[test]
fn the_receiver_with_express_accepts_only_genuine_events() {
    let secret = WebhookSecret::generate().unwrap();
    let Some(mut receiver) = servers::express(&secret) else { return };
    accepts_only_genuine_events(&receiver.url, &secret);
    let taken = receiver.program.says_until(&link(3));
    assert_eq!(taken.iter().filter(|line| line.starts_with("Call call-1 connected: ")).count(), 4);
    vectors::are_answered_as_they_say(start(servers::express));
}

#[test]
fn the_receiver_in_php_accepts_only_genuine_events() {
    let secret = WebhookSecret::generate().unwrap();
    let Some(receiver) = servers::php(&secret) else { return };
    accepts_only_genuine_events(&receiver.url, &secret);
    let log = receiver.errors();
    for request in 0..4 {
        assert_eq!(log.matches(&link(request)).count(), 1, "{log}");
    }
    vectors::are_answered_as_they_say(start(servers::php));
}

type Start = fn(&WebhookSecret) -> Option<Server>;

/// Starts a receiver whose tools are there.
fn start(receiver: Start) -> impl Fn(&WebhookSecret) -> (Server, String) {
    move |secret| {
        let server = receiver(secret).unwrap();
        let url = server.url.clone();
        (server, url)
    }
}

/// It prints what it takes: the event and its resend, and no retry.
fn takes_genuine_events_once(receiver: Start) {
    let secret = WebhookSecret::generate().unwrap();
    let Some(mut running) = receiver(&secret) else { return };
    accepts_only_genuine_events(&running.url, &secret);
    let mut said = running.program.says_until(&link(2));
    said.append(&mut running.program.says_no_more());
    let taken = (0..4).filter(|request| said.iter().any(|line| line.contains(&link(*request))));
    assert_eq!(taken.collect::<Vec<_>>(), [0, 2], "{said:?}");
    drop(running);
    vectors::are_answered_as_they_say(start(receiver));
}

/// The link that a request brings: each has another one.
fn link(request: usize) -> String {
    format!("https://app.example.com/api/webhook-assets/recording/{request}?expires=1&sig=0")
}

/// Posts an event, its retry, a resend by a person, and the retry of that; then a forged event, and one without a
/// signature.
fn accepts_only_genuine_events(url: &str, secret: &WebhookSecret) {
    let resend = Some(Resend { delivery: "dlv_1_1", number: 1 });
    for (request, resend) in [None, None, resend, resend].into_iter().enumerate() {
        let link = link(request);
        let links = Links { recording: Some(&link), transcript: None };
        let message = Message { resend, ..MESSAGE };
        let (status, answer) = Attempt::at(&message, &CompletedCall::sample(), links, secret).post(url);
        assert_eq!(status, 200, "{answer}");
    }
    let genuine = Attempt::of(&CompletedCall::sample(), Links::default(), secret);
    for attempt in [genuine.forged(), genuine.unsigned()] {
        let (status, answer) = attempt.post(url);
        assert_eq!(status, 401, "{answer}");
    }
}
