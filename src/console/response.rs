//! Responses of the settings page: rendered pages, redirects, and responses without a body.

use askama::Template;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::error::PageError;
use super::route::Route;
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

pub(super) fn not_allowed(route: &Route) -> PageResponse {
    let allow = match (route.takes_get(), route.takes_post()) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        (false, _) => "POST",
    };
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer.extensions_mut().insert(Refusal("method_not_allowed"));
    answer
}
