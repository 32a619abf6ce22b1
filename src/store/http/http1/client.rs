//! Sends requests to a store by plain exchanges, or by object_store's client where those do not suffice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use http::uri::{Scheme, Uri};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse};
use tokio_rustls::rustls::ClientConfig;

use super::exchange::{self, Answer};
use super::head::{self, Fields};
use super::pool::{Origin, Pool};

/// Hosts that issue the clouds' credentials. object_store's client has special timeouts for them.
const METADATA: [&str; 3] = ["169.254.", "metadata.google.internal", "[fd00:ec2::254]"];

/// How long object_store's client sends all requests after a response that was not plain. Most stores send either all
/// objects with a length or none, and each response without a length costs a second request.
const FALLBACK: Duration = Duration::from_secs(10);

/// An extension of a request whose response is known not to be plain.
#[derive(Debug, Clone)]
pub(crate) struct NotPlain;

#[derive(Debug)]
pub(crate) struct Http1Client {
    pool: Arc<Pool>,
    /// Whether stores without TLS may be reached directly.
    plain: bool,
    began: Instant,
    /// In milliseconds since `began`.
    fallback_until: AtomicU64,
}

impl Http1Client {
    /// Reaches stores without TLS if `plain` is set, and stores with TLS if there are settings for it.
    pub(crate) fn new(connect_timeout: Duration, plain: bool, tls: Option<Arc<ClientConfig>>) -> Self {
        let (pool, began) = (Pool::new(connect_timeout, tls), Instant::now());
        Self { pool, plain, began, fallback_until: AtomicU64::new(0) }
    }

    /// Sends a request, if necessary with the `general` client.
    pub(crate) async fn send(
        &self,
        general: &HttpClient,
        origin: &Origin,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        if request.extensions().get::<NotPlain>().is_none() {
            let head = head::of_request(&request, &origin.host);
            if let Some(answer) = self.exchange(origin, &head, request.method(), Fields::All).await? {
                return Ok(answer.into());
            }
        }
        let response = general.execute(request).await?;
        if response.status().is_success() {
            let until = self.now().saturating_add(FALLBACK.as_millis().try_into().unwrap_or_default());
            self.fallback_until.store(until, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// Sends the head of a request without a body. `None` if the response is not plain.
    pub(crate) async fn exchange(
        &self,
        origin: &Origin,
        head: &[u8],
        method: &Method,
        fields: Fields,
    ) -> Result<Option<Answer>, HttpError> {
        exchange::send(&self.pool, origin, head, method, fields).await
    }

    /// Where the store of this request is, if a plain exchange can carry it: it is idempotent and has no body.
    pub(crate) fn origin(&self, request: &HttpRequest) -> Option<Origin> {
        let is_plain = request.method().is_idempotent() && request.body().content_length() == 0;
        let origin = origin_of(request.uri()).filter(|_| is_plain && !self.falls_back())?;
        let is_allowed = if origin.tls { self.pool.has_tls() } else { self.plain };
        is_allowed.then_some(origin)
    }

    /// Whether object_store's client sends all requests for now.
    pub(crate) fn falls_back(&self) -> bool {
        // The clock is read only after a fallback.
        let until = self.fallback_until.load(Ordering::Relaxed);
        until > 0 && self.now() < until
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The origin of a store's URL; `None` for the services that issue credentials.
fn origin_of(uri: &Uri) -> Option<Origin> {
    let tls = uri.scheme() == Some(&Scheme::HTTPS);
    let host = uri.authority().filter(|_| tls || uri.scheme() == Some(&Scheme::HTTP))?;
    let is_metadata = METADATA.iter().any(|name| host.host().starts_with(name));
    (!is_metadata).then(|| Origin { host: host.clone(), tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stores_get_plain_exchanges() {
        for (uri, origin) in [
            ("http://127.0.0.1:9000/bucket/x", Some(("127.0.0.1:9000", false))),
            ("http://store/x", Some(("store", false))),
            ("https://store/x", Some(("store", true))),
            ("http://169.254.169.254/latest/api/token", None),
            ("http://metadata.google.internal/computeMetadata/v1/", None),
            ("http://[fd00:ec2::254]/latest", None),
            ("ftp://store/x", None),
            ("/x", None),
        ] {
            let found = origin_of(&uri.parse().unwrap());
            assert_eq!(found.as_ref().map(|it| (it.host.as_str(), it.tls)), origin, "{uri}");
        }
    }
}
