//! The problem documents of the gateway: the responses to clients that get no asset.

use http::StatusCode;

use super::outcome::Rejection;
use crate::clock::UnixSeconds;
use crate::problem::{Document, Problem};
use crate::server::LimitReached;
use crate::signed_url::Denial;
use crate::store::StoreError;
use crate::transcript::RenderError;

/// Returns the problem document for a rejection.
pub(super) fn document(rejection: &Rejection, now: UnixSeconds) -> Document {
    problem(rejection, now).into_document()
}

fn problem(rejection: &Rejection, now: UnixSeconds) -> Problem {
    match rejection {
        Rejection::NoSuchRoute => Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_route",
            "No such path",
            "There is nothing at this path. A signed link looks like \
                 /webhook-assets/recording/{uuid}?expires=…&sig=…: copy it whole.",
        ),
        Rejection::NotFound(kind) => Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found",
            &format!(
                "The link is good, but there is no {kind} for this call: it is not stored yet, or was deleted. \
                     Try again in a minute; if it stays away, ask the sender of the link."
            ),
        ),
        Rejection::InvalidFormat => Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_format",
            "Invalid format",
            "The link is good, but its `format` must stand once and be `txt`, `vtt`, `srt` or `md`. Without `format` the \
                 link opens the transcript as JSON.",
        ),
        Rejection::NotRendered(error) => not_rendered(*error),
        Rejection::MethodNotAllowed => Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            "A link is for reading: use GET, HEAD or OPTIONS.",
        ),
        Rejection::PreconditionFailed => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "Precondition failed",
            "The object is no longer the version that If-Match or If-Unmodified-Since asks for. Download it anew.",
        ),
        Rejection::Unsatisfiable { size } => Problem::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            "Range not satisfiable",
            &format!(
                "The range lies outside the object, which has {size} bytes. It may be downloaded already."
            ),
        ),
        Rejection::Busy(LimitReached::Address) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_requests_from_address",
            "Too many downloads from your address",
            "Your address has as many downloads in flight as one may have while others are served. The link stays good: let \
                 some of them end, and try again after the seconds in Retry-After.",
        ),
        Rejection::Busy(LimitReached::Total) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_requests_in_flight",
            "Busy",
            "Too many downloads are in flight. The link stays good: try again after the seconds in Retry-After.",
        ),
        Rejection::AuditUnavailable => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "audit_unavailable",
            "Downloads cannot be recorded",
            "Downloads have to be recorded here, and at present cannot be. The link stays good: try again after the \
                 seconds in Retry-After.",
        ),
        Rejection::StoreFailed(error) => store_failed(error),
        Rejection::Denied(denial) => denied(denial, now),
    }
}

/// 406. The transcript exists, so the sentence says how to get it.
fn not_rendered(error: RenderError) -> Problem {
    let (code, title, why) = match error {
        RenderError::UnknownSchema => (
            "unknown_schema",
            "Unknown schema",
            "this transcript does not follow the schema call-transcript/1, which alone can be rendered",
        ),
        RenderError::TooLarge => {
            ("too_large_to_render", "Too large to render", "this transcript is too large to be rendered")
        }
    };
    let detail = format!(
        "The link is good, but {why}. Leave out `format` to download the transcript as it is stored."
    );
    Problem::new(StatusCode::NOT_ACCEPTABLE, code, title, &detail)
}

/// 403. All invalid signatures get the same text.
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

/// 503 if a retry may help, 502 if an operator has to act.
fn status_of(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Refused(_)
        | StoreError::Misplaced(_)
        | StoreError::Withheld(_)
        | StoreError::Broken(_) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn store_failed(error: &StoreError) -> Problem {
    match error {
        // The log reports it once, when the store goes down.
        StoreError::Down => {}
        _ => tracing::warn!(%error, reason = error.reason(), "the store failed a request"),
    }
    let status = status_of(error);
    if status == StatusCode::BAD_GATEWAY {
        return Problem::new(
            status,
            "storage_error",
            "Storage error",
            &format!(
                "The storage behind this link does not work as it should: {}. The link stays good: try again later.",
                error.public_text()
            ),
        );
    }
    Problem::new(
        status,
        "storage_unavailable",
        "Storage unavailable",
        "The storage behind this link does not answer. The link stays good: try again after the seconds in Retry-After.",
    )
}
