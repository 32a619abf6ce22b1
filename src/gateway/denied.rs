//! What a client reads whose link opens nothing.

use std::cell::RefCell;
use std::sync::OnceLock;

use http::{HeaderMap, StatusCode};

use crate::clock::UnixSeconds;
use crate::problem::{Document, Problem};
use crate::signed_url::Denial;

/// 403, with the same words for every signature that cannot be honoured.
pub(super) fn denied(denial: &Denial, now: UnixSeconds) -> Problem {
    let problem = |detail: &str| Problem::new(StatusCode::FORBIDDEN, denial.code(), "Access denied", detail);
    match denial {
        Denial::Expired { at, .. } => problem(&format!(
            "This link expired at {at}. Ask the sender to resend the webhook, which carries a fresh link; \
             download within its lifetime to keep a copy."
        ))
        .with("server_time", &now.to_string())
        .with("expired_at", &at.to_string()),
        Denial::Invalid(_) => problem(
            "This link's signature is invalid. Copy the whole link exactly as it was sent: nothing \
             cut off, `&` not turned into `&amp;`, no character changed.",
        )
        .with("server_time", &now.to_string()),
    }
}

/// What is said of a signature that is not honoured, whatever is wrong with it: its words change once a second.
pub(super) struct Said {
    at: UnixSeconds,
    /// The answer's document.
    pub(super) document: Document,
    /// Room for the header fields of its answers.
    pub(super) fields: OnceLock<HeaderMap>,
}

impl Said {
    /// Answers with what is said of this now.
    pub(super) fn of<T>(denial: &Denial, now: UnixSeconds, answer: impl FnOnce(&Self) -> T) -> T {
        thread_local! {
            static SAID: RefCell<Option<Said>> = const { RefCell::new(None) };
        }
        SAID.with_borrow_mut(|said| match said {
            Some(said) if said.at == now => answer(said),
            _ => answer(said.insert(Self {
                at: now,
                document: denied(denial, now).into_document(),
                fields: OnceLock::new(),
            })),
        })
    }
}
