//! Renders the page for each error.

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};

use super::error::PageError;
use super::i18n::Lang;
use super::layout::{Layout, Notice};
use super::response::{PageResponse, page, plain};
use super::route::ROOT;
use crate::ledger::LedgerError;
use crate::telemetry::Refusal;

/// The error page, with the status of the error.
/// `root` is the path of the settings page in browsers, `path` that of the request below [`ROOT`].
pub(super) fn error_page(error: &PageError, lang: Lang, root: &str, path: &str) -> PageResponse {
    let t = lang.messages();
    let (status, heading, text) = match error {
        PageError::NotFound => (StatusCode::NOT_FOUND, t.not_found, t.not_found_text),
        PageError::NotAllowed => (StatusCode::FORBIDDEN, t.not_allowed, t.not_allowed_text),
        PageError::NotOurs => (StatusCode::FORBIDDEN, t.not_ours, t.not_ours_text),
        PageError::OtherOrigin => (StatusCode::FORBIDDEN, t.not_ours, t.other_origin_text),
        PageError::BadForm => (StatusCode::BAD_REQUEST, t.bad_form, t.bad_form_text),
        PageError::FormTooSlow => (StatusCode::REQUEST_TIMEOUT, t.bad_form, t.bad_form_text),
        PageError::TooMany => (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.too_many_pages_text),
        PageError::Ledger(error) if error.is_transient() => {
            (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.unavailable_text)
        }
        PageError::Ledger(_) | PageError::Broken => {
            (StatusCode::INTERNAL_SERVER_ERROR, t.broken, t.broken_text)
        }
    };
    if let PageError::Ledger(error) = error {
        log(error);
    }
    let rest = path.strip_prefix(ROOT).filter(|_| status == StatusCode::NOT_FOUND).unwrap_or_default();
    let layout = Layout::new(lang, heading, root, &format!("{root}{rest}"));
    let notice = Notice { layout, heading, text, link: None };
    let Ok(mut answer) = page(status, &notice) else { return plain(status) };
    answer.extensions_mut().insert(Refusal(error.reason()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

fn log(error: &LedgerError) {
    if error.is_transient() {
        tracing::warn!(%error, "the webhooks' database failed a page");
    } else {
        tracing::error!(%error, "the webhooks' database failed a page");
    }
}
