//! A message about an event: its ids, as the body and the header fields carry them.

use std::borrow::Cow;

/// A message about an event. All attempts of a delivery send the same message, with other links.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The event's id, `msg_…`.
    pub event: &'a str,
    /// The caller's id of the call; `None` in a test event.
    pub call: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// Whether it is about a test event.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.call.is_none()
    }

    /// The id of the call in the body. Each test event has another one, so that a receiver that knows its calls by it
    /// takes every test.
    pub(super) fn call_id(&self) -> Cow<'a, str> {
        let test = || format!("test_{}", self.event.trim_start_matches("msg_"));
        self.call.map_or_else(|| test().into(), Cow::from)
    }
}
