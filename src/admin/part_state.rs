//! The state of a part of the program in `/readyz`, and since when it is so.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::clock::UnixSeconds;

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartState {
    Ok,
    /// It works, but an operator should look; with the reason.
    Degraded(&'static str),
    Down(&'static str),
}

impl PartState {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded(_) => "degraded",
            Self::Down(_) => "down",
        }
    }

    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::Degraded(why) | Self::Down(why) => Some(why),
        }
    }

    /// What the field of the part itself says: `ok` unless it is down.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Ok | Self::Degraded(_) => "ok",
            Self::Down(why) => why,
        }
    }
}

/// The last state of a part that was found. Clocks are set, so changes are compared in running time.
#[derive(Debug, Clone, Copy)]
struct Last {
    name: &'static str,
    at: Instant,
    /// The same time, for people.
    since: UnixSeconds,
}

/// Since when a part has its state.
#[derive(Debug, Default)]
pub(super) struct PartHistory(Mutex<Option<Last>>);

impl PartHistory {
    /// Notes the state that was found; returns it as JSON. Another reason is not another state. `known` is when the state
    /// began, if the part has a watcher that noticed it.
    pub(super) fn note(&self, state: PartState, known: Option<Instant>, now: UnixSeconds) -> Value {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = last.filter(|last| last.name == state.name());
        // A watcher may notice later than a request that something is down. That it works again since then means that it
        // was down in between.
        let is_news = |at: &Instant| last.is_none_or(|last| *at > last.at);
        let known = known.filter(is_news).filter(|_| lasts.is_none() || state == PartState::Ok);
        let began = |at: Instant| Last { name: state.name(), at, since: now.minus(at.elapsed()) };
        let current = match (known, lasts) {
            (Some(at), _) => began(at),
            (None, Some(lasts)) => lasts,
            (None, None) => began(Instant::now()),
        };
        *last = Some(current);
        let mut shown = json!({"state": state.name(), "since": current.since.to_string()});
        if let (Some(why), Value::Object(fields)) = (state.reason(), &mut shown) {
            fields.insert("reason".to_owned(), why.into());
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> UnixSeconds {
        UnixSeconds(1_764_000_000 + seconds)
    }

    fn since(history: &PartHistory, state: PartState, known: Option<Instant>, now: u64) -> String {
        history.note(state, known, at(now))["since"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_state_lasts_since_it_began_whatever_its_reasons() {
        let history = PartHistory::default();
        let since = |state, now| since(&history, state, None, now);
        assert_eq!(since(PartState::Ok, 0), at(0).to_string());
        assert_eq!(since(PartState::Ok, 9), at(0).to_string());
        assert_eq!(since(PartState::Down("a"), 10), at(10).to_string());
        assert_eq!(since(PartState::Down("b"), 11), at(10).to_string());
        assert_eq!(since(PartState::Degraded("b"), 12), at(12).to_string());
        let shown = history.note(PartState::Ok, None, at(13));
        assert_eq!(shown, json!({"state": "ok", "since": at(13).to_string()}));
    }

    #[test]
    fn a_state_that_a_watcher_noticed_earlier_began_then() {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        let history = PartHistory::default();
        let found = |state, known, now| since(&history, state, known, now);
        assert_eq!(found(PartState::Ok, ago(90), 100), at(10).to_string());
        assert_eq!(found(PartState::Down("a"), ago(30), 100), at(70).to_string());
        // The watcher noticed it again, and that it began is known.
        assert_eq!(found(PartState::Down("a"), ago(20), 100), at(70).to_string());
        assert_eq!(found(PartState::Ok, ago(10), 100), at(90).to_string());
        // It was down and up again while nobody asked.
        assert_eq!(found(PartState::Ok, ago(5), 100), at(95).to_string());
        // What the watcher last noticed is older than what a request found.
        assert_eq!(found(PartState::Down("a"), ago(60), 100), at(100).to_string());
        assert_eq!(found(PartState::Ok, ago(60), 100), at(100).to_string());
    }
}
