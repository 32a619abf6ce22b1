//! Does what a form asks for once. After a double click or a reload the browser sends the same form again, perhaps to another
//! replica: that is answered as the first one was. A form is the same if its page, its path and all its values are; each rendered
//! page has a CSRF token that no other page has.

use std::time::Duration;

use http::StatusCode;
use http::header::LOCATION;

use super::context::RequestContext;
use super::error::PageError;
use super::response::{PageResponse, PageResult, redirect_to};
use super::state::State;
use crate::clock::UnixSeconds;
use crate::ledger::{FormUse, Ledger};

/// How long a form waits for the first request with it, and how often it looks.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// The answer that is stored if it is unknown whether the form did something.
const UNKNOWN: &str = "";

impl State {
    /// Uses a form. Returns the answer if it is used already, after waiting for the request that is at work on it.
    pub(super) async fn use_form(
        &self,
        ledger: &Ledger,
        id: &str,
        expires: UnixSeconds,
    ) -> Result<Option<String>, PageError> {
        let began = tokio::time::Instant::now();
        loop {
            match ledger.use_form(id, expires, self.deps.clock.now()).await? {
                FormUse::First => return Ok(None),
                FormUse::Answered(answer) => return Ok(Some(answer)),
                FormUse::InProgress if began.elapsed() > LONGEST_WAIT => return Err(PageError::SentBefore),
                FormUse::InProgress => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

impl RequestContext<'_> {
    /// Does the work of the form that was posted to this path, unless another request with it was answered.
    pub(super) async fn once(&self, path: &str, work: impl Future<Output = PageResult>) -> PageResult {
        let id = self.form.id(path);
        match self.state.use_form(self.ledger(), &id, self.session.expires).await? {
            None => {}
            Some(path) if path == UNKNOWN => return Err(PageError::SentBefore),
            Some(path) => return Ok(redirect_to(&path)),
        }
        let result = work.await;
        self.conclude(&id, &result).await;
        result
    }

    /// Keeps what the same form is answered with, if it is sent again. A page in place of a redirect shows what is to be
    /// corrected, or counts, and has done nothing.
    async fn conclude(&self, id: &str, result: &PageResult) {
        let stored = match result {
            Ok(answer) => match redirect_of(answer) {
                Some(path) => self.ledger().answer_form(id, path).await,
                None => self.ledger().release_form(id).await,
            },
            // The database may have written before it failed.
            Err(PageError::Ledger(_) | PageError::Broken) => self.ledger().answer_form(id, UNKNOWN).await,
            Err(_) => self.ledger().release_form(id).await,
        };
        if let Err(error) = stored {
            tracing::warn!(%error, "the answer to a form was not stored; if it is sent again, its page says that this is unknown");
        }
    }
}

fn redirect_of(answer: &PageResponse) -> Option<&str> {
    let is_redirect = answer.status() == StatusCode::SEE_OTHER;
    answer.headers().get(LOCATION).filter(|_| is_redirect)?.to_str().ok()
}
