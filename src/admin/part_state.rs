//! The state of a part of the program in `/readyz`, and since when it is so.

use std::sync::{Mutex, PoisonError};

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

/// The last state of a part, and since when it has it.
#[derive(Debug, Default)]
pub(super) struct PartHistory(Mutex<Option<(&'static str, UnixSeconds)>>);

impl PartHistory {
    /// Notes the state that a probe found; returns it as JSON. Another reason is not another state.
    pub(super) fn note(&self, state: PartState, now: UnixSeconds) -> Value {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *last {
            Some((name, since)) if name == state.name() => since,
            _ => now,
        };
        *last = Some((state.name(), since));
        let mut shown = json!({"state": state.name(), "since": since.to_string()});
        if let (Some(why), Value::Object(fields)) = (state.reason(), &mut shown) {
            fields.insert("reason".to_owned(), why.into());
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_lasts_since_it_began_whatever_its_reasons() {
        let (history, at) = (PartHistory::default(), |seconds: u64| UnixSeconds(1_764_000_000 + seconds));
        let since = |state, now| history.note(state, at(now))["since"].as_str().unwrap().to_owned();
        assert_eq!(since(PartState::Ok, 0), at(0).to_string());
        assert_eq!(since(PartState::Ok, 9), at(0).to_string());
        assert_eq!(since(PartState::Down("a"), 10), at(10).to_string());
        assert_eq!(since(PartState::Down("b"), 11), at(10).to_string());
        assert_eq!(since(PartState::Degraded("b"), 12), at(12).to_string());
        let shown = history.note(PartState::Ok, at(13));
        assert_eq!(shown, json!({"state": "ok", "since": at(13).to_string()}));
    }
}
