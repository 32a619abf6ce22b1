//! Contains helpers of the webhooks API's handlers.

use http::header::ORIGIN;
use http::{Request, StatusCode};
use serde_json::Value;

use crate::admin::access::{require_json, require_workspace};
#[cfg(feature = "console")]
use crate::admin::listener::Admin;
use crate::admin::response::not_json;
use crate::admin::upload::Upload;
use crate::ledger::{self, LedgerError};
use crate::problem::Problem;
use crate::sender::Sender;
use crate::tokens::Principal;
use crate::webhook::HeaderError;

/// Valid names, as the end of the sentence "… takes …".
pub(super) const NAME: &str = "1 to 128 visible characters, without spaces";

/// Answers requests with the sender of this process.
pub(super) struct Api<'a> {
    #[cfg(feature = "console")]
    pub(super) admin: &'a Admin,
    pub(super) sender: &'a Sender,
    pub(super) principal: &'a Principal,
}

impl Api<'_> {
    /// Requires a principal of this workspace.
    pub(super) fn require_workspace(&self, workspace: &str) -> Result<(), Problem> {
        require_workspace(self.principal, workspace)
    }

    /// Waits for a call of the ledger, and turns its error into a problem document.
    pub(super) async fn call<T>(&self, call: impl Future<Output = ledger::Result<T>>) -> Result<T, Problem> {
        call.await.map_err(|error| self.failed(&error))
    }

    /// The problem document for a failure of the ledger, which wrote nothing.
    pub(super) fn failed(&self, error: &LedgerError) -> Problem {
        if let LedgerError::Header(error) = error {
            return header_refused(error);
        }
        self.sender.metrics().database_failed(error.label());
        if error.is_transient() {
            tracing::warn!(%error, "the webhooks' database failed a request of the admin listener");
            return Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "Database unavailable",
                "The webhooks' database does not answer, has no room or cannot be written, and nothing was accepted. \
                 Send the same again after a few seconds.",
            );
        }
        tracing::error!(%error, "the webhooks' database failed a request of the admin listener");
        let detail = match error {
            LedgerError::Sealed => format!("{error}"),
            _ => "The webhooks' database refuses, and nothing was accepted. The log says why.".to_owned(),
        };
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "database_failed", "Database failed", &detail)
    }
}

/// The problem document for a refused header. Its pointer does not name the header: what stands in the place of a name may
/// be a value.
pub(super) fn header_refused(error: &HeaderError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "header_refused", "Header refused", &error.to_string())
        .with("pointer", "/headers")
}

/// The JSON of a request's body.
pub(super) async fn read_json(request: Request<Upload>) -> Result<Value, Problem> {
    require_json(&request)?;
    let body = request.into_body().read().await?;
    serde_json::from_slice(&body).map_err(|error| not_json(&error))
}

/// Refuses a request with an origin: a browser sends a request without a body to any origin.
pub(super) fn reject_browsers(request: &Request<Upload>) -> Result<(), Problem> {
    if request.headers().contains_key(ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "Origin not allowed",
            "A web page may not do this; send the request without the header field Origin.",
        ));
    }
    Ok(())
}
