//! Responses of the settings page: rendered pages, redirects, and responses without a body.

use askama::Template;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::error::PageError;
use crate::telemetry::Refusal;
use crate::text::{self, Escape};

pub(super) type PageResponse = Response<Bytes>;

/// A page, or an error that leads to an error page.
pub(super) type PageResult = Result<PageResponse, PageError>;

/// Renders a page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> PageResult {
    // Only text that people wrote can contain invisible characters, so escaping the whole page covers attributes too.
    let rendered = template.render()?;
    let shown =
        text::escape_invisible(&rendered, Escape::Json, |c| matches!(c, '\n' | '\r' | '\t')).into_owned();
    let mut answer = Response::new(Bytes::from(shown));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(answer)
}

/// Redirects (303) to another page.
pub(super) fn redirect_to(path: &str) -> PageResponse {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // Names in paths are percent-encoded, so every path is a valid header value.
    if let Ok(path) = HeaderValue::from_str(path) {
        answer.headers_mut().insert(LOCATION, path);
    }
    answer
}

/// A response without a body.
pub(super) fn plain(status: StatusCode) -> PageResponse {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

/// A page that says why it is not the one that was asked for.
pub(super) fn refused(mut page: PageResponse, reason: &'static str) -> PageResult {
    page.extensions_mut().insert(Refusal(reason));
    Ok(page)
}
