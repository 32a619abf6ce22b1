//! Counts the requests that the private listener refuses, by reason, and logs who was refused access.

use std::net::SocketAddr;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode, Uri};

use crate::telemetry::metrics::{ByLabel, Counter, Registry};
use crate::telemetry::{LogLimiter, Refusal};

/// The reasons that a wrong or stolen token, a wrong name or a foreign page leads to. Their series exist from the start.
const OF_ACCESS: [&str; 11] = [
    "no_token",
    "unknown_token",
    "scope_missing",
    "workspace_not_allowed",
    "host_not_allowed",
    "wrong_origin",
    "wrong_form",
    "link_invalid",
    "link_expired",
    "link_used",
    "body_too_large",
];

/// The metric of refused requests. Clones share the counts.
#[derive(Debug, Clone)]
pub struct RefusalMetrics(ByLabel<Counter>);

impl RefusalMetrics {
    /// Registers the metric.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self(registry.counters(
            "admin_requests_refused",
            "Requests to the private listener that were refused, by reason: a problem's code, or what the settings page found",
            "reason",
            &OF_ACCESS,
        ))
    }
}

/// Counts and logs refusals.
#[derive(Debug)]
pub(super) struct Refusals {
    metrics: RefusalMetrics,
    limiter: LogLimiter,
}

/// What a request asked for.
pub(super) struct Asked {
    method: Method,
    uri: Uri,
    peer: SocketAddr,
    has_token: bool,
}

impl Asked {
    pub(super) fn by<B>(request: &Request<B>, peer: SocketAddr) -> Self {
        let has_token = request.headers().contains_key(AUTHORIZATION);
        Self { method: request.method().clone(), uri: request.uri().clone(), peer, has_token }
    }
}

impl Refusals {
    pub(super) fn new(metrics: RefusalMetrics) -> Self {
        Self { metrics, limiter: LogLimiter::default() }
    }

    /// Counts the answer to a request if it is a refusal.
    pub(super) fn note<B>(&self, asked: &Asked, answer: &Response<B>) {
        let Some(Refusal(code)) = answer.extensions().get() else { return };
        let reason = match *code {
            "unauthorized" if asked.has_token => "unknown_token",
            "unauthorized" => "no_token",
            code => code,
        };
        self.metrics.0.of(reason).inc();
        let is_of_access = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if is_of_access
            && is_problem(answer)
            && let Some(more) = self.limiter.admit(reason)
        {
            tracing::warn!(
                reason,
                more = (more > 0).then_some(more),
                peer = %asked.peer,
                method = %asked.method,
                path = asked.uri.path(),
                "the private listener refused a request"
            );
        }
    }
}

/// Whether an API refused. The settings page answers with a page, and logs its own refusals.
fn is_problem<B>(answer: &Response<B>) -> bool {
    answer.headers().get(CONTENT_TYPE).is_some_and(|of| of == "application/problem+json")
}
