//! A message about an event: its ids, as the body and the header fields carry them.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::HeaderValue;

use super::signing::{Signing, WEBHOOK_EVENT_ID, WEBHOOK_RESEND};
use crate::clock::UnixSeconds;

/// The types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// A call is completed.
    CallCompleted,
    /// An asset of a call arrived after the call was sent.
    CallUpdated,
}

impl EventType {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CallCompleted => "call.completed",
            Self::CallUpdated => "call.updated",
        }
    }
}

/// A message about an event. All attempts at it carry the same ids, with other links.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The event's id, `msg_…`.
    pub event: &'a str,
    /// The event's type.
    pub event_type: EventType,
    /// The caller's id of the call; `None` in a test event.
    pub call: Option<&'a str>,
    /// The resend that this message is; `None` for the event itself and its retries.
    pub resend: Option<Resend<'a>>,
}

/// A delivery that a person sends again.
///
/// It is a message with its own `webhook-id`. Standard Webhooks keeps the id of "a webhook that has failed" when it is
/// retried, for receivers to drop what they have. A person who sends an event again wants its fresh links to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Resend<'a> {
    /// The delivery's id, `dlv_…`.
    pub delivery: &'a str,
    /// Counts the resends of the delivery, from 1.
    pub number: u32,
}

impl<'a> Message<'a> {
    /// Whether it is about a test event.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.call.is_none()
    }

    /// The `webhook-id`: the event's id, or for a resend one that begins with it. Resends to two endpoints differ, because
    /// both may lead to one receiver.
    #[must_use]
    pub fn id(&self) -> Cow<'a, str> {
        match self.resend {
            None => self.event.into(),
            Some(Resend { delivery, number }) => {
                let delivery = delivery.trim_start_matches("dlv_");
                format!("msg_{delivery}_r{number}").into()
            }
        }
    }

    /// The header fields of an attempt at this time.
    #[must_use]
    pub fn headers(&self, signing: &Signing, at: UnixSeconds, body: &[u8]) -> HeaderMap {
        let mut headers = signing.headers(&self.id(), at, body);
        if let (Some(resend), Ok(event)) = (self.resend, HeaderValue::from_str(self.event)) {
            headers.insert(WEBHOOK_EVENT_ID, event);
            headers.insert(WEBHOOK_RESEND, HeaderValue::from(resend.number));
        }
        headers
    }

    /// The id of the call in the body. Each test event has another one, so that a receiver that knows its calls by it
    /// takes every test.
    pub(super) fn call_id(&self) -> Cow<'a, str> {
        let test = || format!("test_{}", self.event.trim_start_matches("msg_"));
        self.call.map_or_else(|| test().into(), Cow::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::{WEBHOOK_ID, WebhookSecret, verify_standard};

    const NOW: UnixSeconds = UnixSeconds(1_765_981_800);
    const EVENT: Message<'static> =
        Message { event: "msg_0a", event_type: EventType::CallCompleted, call: Some("call-1"), resend: None };

    fn resent(delivery: &'static str, number: u32) -> Message<'static> {
        Message { resend: Some(Resend { delivery, number }), ..EVENT }
    }

    #[test]
    fn a_resend_has_its_own_id_with_the_id_of_the_event_beside_it() {
        let secret = WebhookSecret::generate().unwrap();
        let signing = Signing::with(secret.clone());
        let headers = resent("dlv_0a_2", 3).headers(&signing, NOW, b"{}");
        assert_eq!(headers[WEBHOOK_ID], "msg_0a_2_r3");
        assert_eq!(headers[WEBHOOK_EVENT_ID], "msg_0a");
        assert_eq!(headers[WEBHOOK_RESEND], "3");
        verify_standard(&secret, &headers, b"{}", NOW, std::time::Duration::ZERO).unwrap();
    }

    #[test]
    fn every_resend_of_every_delivery_has_another_id() {
        let messages = [EVENT, resent("dlv_0a_1", 1), resent("dlv_0a_1", 2), resent("dlv_0a_2", 1)];
        let ids: std::collections::BTreeSet<_> = messages.iter().map(Message::id).collect();
        assert_eq!(ids.len(), messages.len());
    }

    #[test]
    fn an_event_and_its_retries_have_four_header_fields() {
        let headers = EVENT.headers(&Signing::with(WebhookSecret::generate().unwrap()), NOW, b"{}");
        assert_eq!((headers.len(), &headers[WEBHOOK_ID]), (4, &HeaderValue::from_static("msg_0a")));
    }
}
