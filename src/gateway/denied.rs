//! What a client reads whose link opens nothing.

use std::cell::RefCell;

use http::StatusCode;

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

/// The document of [`denied`], whose words change once a second where the signature is invalid.
pub(super) fn document_of(denial: &Denial, now: UnixSeconds) -> Document {
    thread_local! {
        static SAID: RefCell<Option<(UnixSeconds, Document)>> = const { RefCell::new(None) };
    }
    if matches!(denial, Denial::Expired { .. }) {
        return denied(denial, now).into_document();
    }
    SAID.with_borrow_mut(|said| match said {
        Some((then, document)) if *then == now => document.clone(),
        _ => said.insert((now, denied(denial, now).into_document())).1.clone(),
    })
}
