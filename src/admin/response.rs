//! Builds responses: JSON, problem documents, and the header fields common to all.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use crate::problem::Problem;
use crate::telemetry::Refusal;

pub(super) type Answer = Response<Bytes>;

pub(super) fn no_such_route() -> Answer {
    refuse(Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_route",
        "No such path",
        "There is nothing at this path. The paths of this listener are described in /openapi.json.",
    ))
}

pub(super) fn not_allowed(methods: &'static str) -> Answer {
    let detail = format!("This path takes {methods}.");
    let problem =
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", &detail);
    let mut response = refuse(problem);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

pub(super) fn json_answer(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut response = respond_with("application/json", Bytes::from(value.to_string() + "\n"));
    *response.status_mut() = status;
    response
}

pub(super) fn respond_with(media_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    set_no_store(&mut response);
    response
}

fn set_no_store(response: &mut Answer) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

pub(super) fn no_content() -> Answer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_no_store(&mut response);
    response
}

pub(super) fn not_found(detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
}

pub(super) fn not_json(error: &serde_json::Error) -> Problem {
    let detail = format!("The body is not JSON: line {}, column {}.", error.line(), error.column());
    Problem::new(StatusCode::BAD_REQUEST, "not_json", "Not JSON", &detail)
}

pub(super) fn finish(result: Result<Answer, Problem>) -> Answer {
    let problem = match result {
        Ok(answer) => return answer,
        Err(problem) => problem,
    };
    let status = problem.status();
    let mut response = refuse(problem);
    let extra = match status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "5")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A response that carries its reason.
fn refuse(problem: Problem) -> Answer {
    let refusal = Refusal(problem.code());
    let mut response = problem.into_response();
    response.extensions_mut().insert(refusal);
    response
}

/// The problem for a request whose field at `pointer` is invalid.
pub(super) fn invalid(pointer: &str, why: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request", why)
        .with("pointer", pointer)
}
