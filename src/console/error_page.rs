//! Renders the page for each error: with the navigation of the session, what happened, and what to do.

use http::StatusCode;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER};

use super::error::PageError;
use super::i18n::{Lang, session_words};
use super::layout::Notice;
use super::response::{PageResponse, page, plain};
use super::route::Route;
use super::state::State;
use super::visitor::Visitor;
use crate::ledger::LedgerError;
use crate::telemetry::Refusal;

impl State {
    /// The error page, with the status of the error, for a request of this path below [`ROOT`](super::route::ROOT).
    pub(super) fn error_page(
        &self,
        error: &PageError,
        lang: Lang,
        path: &str,
        visitor: &Visitor,
    ) -> PageResponse {
        let (status, heading, text) = words_of(error, lang);
        if let PageError::Ledger(error) = error {
            log(error);
        }
        let mut layout = self.layout_for(visitor, lang, heading, path);
        // Other paths may take forms alone.
        if status != StatusCode::NOT_FOUND {
            layout.path.clone_from(&self.root);
        }
        let way_on = self.way_on(error, lang, path, visitor);
        let link = way_on.as_ref().map(|(path, word)| (path.as_str(), *word));
        let notice = Notice { layout, heading, text, link };
        let Ok(mut answer) = page(status, &notice) else { return plain(status) };
        answer.extensions_mut().insert(Refusal(error.reason()));
        let field = match error {
            PageError::WrongMethod(allow) => Some((ALLOW, *allow)),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "5")),
            _ => None,
        };
        answer.headers_mut().extend(field.map(|(name, value)| (name, HeaderValue::from_static(value))));
        answer
    }

    /// Where a signed-in person goes from an error.
    fn way_on(
        &self,
        error: &PageError,
        lang: Lang,
        path: &str,
        visitor: &Visitor,
    ) -> Option<(String, &'static str)> {
        let words = session_words(lang);
        let access = &visitor.session.as_ref()?.access;
        match (error, &access.workspace) {
            (PageError::Ledger(_) | PageError::TooMany | PageError::Broken, _) => None,
            (PageError::NotFound, Some(workspace)) => {
                Some((self.path_of_workspace(workspace), words.to_webhooks))
            }
            (PageError::NotFound, None) => Some((self.root.clone(), words.to_workspaces)),
            _ => Some((format!("{}{}", self.root, Route::parse(path)?.page()), words.to_page)),
        }
    }
}

/// The status of an error, its heading and its text.
fn words_of(error: &PageError, lang: Lang) -> (StatusCode, &'static str, &'static str) {
    let (t, words) = (lang.messages(), session_words(lang));
    match error {
        PageError::NotFound => (StatusCode::NOT_FOUND, t.not_found, t.not_found_text),
        PageError::NotAllowed => (StatusCode::FORBIDDEN, t.not_allowed, t.not_allowed_text),
        PageError::NotOurs => (StatusCode::FORBIDDEN, t.not_ours, t.not_ours_text),
        PageError::OtherOrigin => (StatusCode::FORBIDDEN, t.not_ours, t.other_origin_text),
        PageError::SentBefore => (StatusCode::CONFLICT, t.sent_before, t.sent_before_text),
        PageError::BadForm => (StatusCode::BAD_REQUEST, t.bad_form, t.bad_form_text),
        PageError::FormTooSlow => (StatusCode::REQUEST_TIMEOUT, t.bad_form, t.bad_form_text),
        PageError::WrongMethod(_) => {
            (StatusCode::METHOD_NOT_ALLOWED, words.wrong_method, words.wrong_method_text)
        }
        PageError::TooMany => (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.too_many_pages_text),
        PageError::Ledger(error) if error.is_transient() => {
            (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.unavailable_text)
        }
        PageError::Ledger(_) | PageError::Broken => {
            (StatusCode::INTERNAL_SERVER_ERROR, t.broken, t.broken_text)
        }
    }
}

fn log(error: &LedgerError) {
    if error.is_transient() {
        tracing::warn!(%error, "the webhooks' database failed a page");
    } else {
        tracing::error!(%error, "the webhooks' database failed a page");
    }
}
