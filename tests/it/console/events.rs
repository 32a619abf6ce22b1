//! The events of an open page: what they tell, to whom, and when they end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ConsoleSite, Guest, call, text};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{Answer, request_head};

const EVENTS: (&str, &str) = ("Accept", "text/event-stream");

/// The events of a page, as they come.
struct EventStream {
    connection: TcpStream,
    received: String,
}

impl EventStream {
    async fn open(guest: &Guest<'_>, path: &str) -> Self {
        let mut connection = guest.console.site.admin().connect().await;
        let head = request_head("GET", path, &[EVENTS, ("Cookie", &guest.cookie)], b"");
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut events = Self { connection, received: String::new() };
        while !events.received.contains("\r\n\r\n") {
            assert!(events.read().await, "{}", events.received);
        }
        let (head, body) = events.received.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        for field in ["content-type: text/event-stream", "x-accel-buffering: no", "cache-control: no-store"] {
            assert!(head.to_lowercase().contains(field), "{field}: {head}");
        }
        events.received = body.to_owned();
        events
    }

    async fn read(&mut self) -> bool {
        let mut bytes = [0; 1024];
        let read = tokio::time::timeout(WAIT_LIMIT, self.connection.read(&mut bytes));
        let read = read.await.expect("an event").unwrap();
        self.received.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        read > 0
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.received.split_once("\n\n") {
                // The length of the chunk comes before the event, and nothing else does.
                let (length, event) = event.split_once("data: ").unwrap();
                assert!(length.chars().all(|c| c.is_ascii_hexdigit() || c.is_whitespace()), "{length}");
                let event = event.to_owned();
                self.received = rest.to_owned();
                return Some(event);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// Whether the page changes before the stream ends.
    async fn tells_a_change(&mut self) -> bool {
        for _ in 0..20 {
            let Some(event) = self.next().await else { return false };
            assert!(["changed", "same"].contains(&event.as_str()), "{event}");
            if event == "changed" {
                return true;
            }
        }
        false
    }

    /// Waits for the end.
    async fn ends(mut self) {
        while self.next().await.is_some() {}
    }
}

/// Asks for events that there are none of.
async fn no_events(guest: &Guest<'_>, path: &str) {
    let answer = ask(guest, path).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
}

async fn ask(guest: &Guest<'_>, path: &str) -> Answer {
    guest.console.get(path, &[EVENTS, ("Cookie", &guest.cookie)]).await
}

#[tokio::test]
async fn a_page_hears_when_it_has_changed_until_nothing_changes_any_more() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::start(|count, _| Reaction::Answer(if count == 0 { 503 } else { 200 }, "")).await;
    console.endpoint("acme", &receiver, "mine").await;
    let accepted = console.api("POST", "/v1/calls", &call("acme", "call-1")).await;
    let delivery = accepted["deliveries"][0].as_str().unwrap();
    let guest = console.guest("acme", true).await;
    let path = format!("/console/w/acme/deliveries/{delivery}");
    let failed = async || Some(text(&guest.get(&path).await)).filter(|page| page.contains("503"));
    let page = until(failed, || "the page does not show the first attempt".to_owned()).await;
    assert!(page.contains(" data-live"), "{page}");
    let mut of_delivery = EventStream::open(&guest, &path).await;
    let mut of_list = EventStream::open(&guest, "/console/w/acme/deliveries").await;
    console.site.clock.advance(Duration::from_secs(60));
    console.site.sender.as_ref().unwrap().wake();
    assert!(of_delivery.tells_a_change().await);
    assert!(of_list.tells_a_change().await);
    of_delivery.ends().await;
    let page = text(&guest.get(&path).await);
    assert!(page.contains("Delivered") && !page.contains(" data-live"), "{page}");
    no_events(&guest, &path).await;
}

#[tokio::test]
async fn time_and_other_workspaces_change_no_page() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine").await;
    console.delivery(&call("acme", "call-1"), "delivered").await;
    let guest = console.guest("acme", true).await;
    let mut events = EventStream::open(&guest, "/console/w/acme").await;
    // What the sender notes after a delivery may come first.
    while events.next().await.as_deref() == Some("changed") {}
    for _ in 0..3 {
        console.site.clock.advance(Duration::from_secs(20));
        console.endpoint("other", &receiver, "theirs").await;
        assert_eq!(events.next().await.as_deref(), Some("same"));
    }
    console.endpoint("acme", &receiver, "another").await;
    assert!(events.tells_a_change().await);
}

#[tokio::test]
async fn events_end_with_the_session() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let other = console.guest("acme", false).await;
    let mut events = EventStream::open(&guest, "/console/w/acme").await;
    let mut of_other = EventStream::open(&other, "/console/w/acme").await;
    assert_eq!(guest.post("/console/sign-out", "").await.status, 303);
    assert!(events.tells_a_change().await, "the page is fetched and tells why");
    events.ends().await;
    no_events(&guest, "/console/w/acme").await;
    assert_eq!(of_other.next().await.as_deref(), Some("same"));
    console.site.clock.advance(Duration::from_secs(9 * 3_600));
    of_other.ends().await;
    no_events(&other, "/console/w/acme").await;
}

#[tokio::test]
async fn events_end_when_the_program_stops() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let mut events = EventStream::open(&guest, "/console/w/acme").await;
    console.site.drain.begin();
    // On a busy machine it was looked at once before. A stream that goes on has one event after the other.
    let event = events.next().await;
    assert!(event.is_none() || events.next().await.is_none(), "{event:?}");
    no_events(&guest, "/console/w/acme").await;
    assert_eq!(guest.get("/console/w/acme").await.status, 200);
}

#[tokio::test]
async fn a_session_and_a_workspace_have_a_limited_number_of_streams() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let path = "/console/w/acme";
    for workspace in ["acme", "other"] {
        console.endpoint(workspace, &receiver, "one").await;
    }
    let guests = [
        console.guest("acme", false).await,
        console.guest("acme", false).await,
        console.guest("acme", false).await,
    ];
    let mut open = Vec::new();
    for (guest, streams) in guests.iter().zip([6, 6, 4]) {
        for _ in 0..streams {
            open.push(EventStream::open(guest, path).await);
        }
        no_events(guest, path).await;
        assert_eq!(guest.get(path).await.status, 200, "pages load as before");
    }
    let guest = console.guest("other", false).await;
    EventStream::open(&guest, "/console/w/other").await;
    // A browser that closes its connection is noticed when the next events are sent.
    open.truncate(10);
    let mut tries = 0;
    while ask_and_close(&guests[2], path).await != 200 {
        tries += 1;
        assert!(tries < 100);
        console.endpoint("other", &receiver, "").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The status of the answer to a request for events.
async fn ask_and_close(guest: &Guest<'_>, path: &str) -> u16 {
    let mut connection = guest.console.site.admin().connect().await;
    let head = request_head("GET", path, &[EVENTS, ("Cookie", &guest.cookie)], b"");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    connection.read_exact(&mut status).await.unwrap();
    std::str::from_utf8(&status[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn there_are_no_events_of_what_a_session_may_not_see_or_does_not_change() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let theirs = console.endpoint("other", &receiver, "theirs").await;
    console.endpoint("acme", &receiver, "mine").await;
    let delivery = console.delivery(&call("acme", "call-1"), "delivered").await;
    let guest = console.guest("acme", true).await;
    for path in [
        "/console/w/other".to_owned(),
        "/console/w/other/deliveries".to_owned(),
        format!("/console/w/other/webhooks/{theirs}"),
        format!("/console/w/acme/webhooks/{theirs}"),
        "/console/nowhere".to_owned(),
        "/console".to_owned(),
        "/console/w/acme/webhooks/new".to_owned(),
        format!("/console/w/acme/deliveries/{delivery}"),
        format!("/console/w/acme/deliveries/{delivery}/listen"),
    ] {
        no_events(&guest, &path).await;
    }
    let stranger = Guest { console: &console, cookie: "webhook_assets_session=x".to_owned() };
    no_events(&stranger, "/console/w/acme").await;
}
