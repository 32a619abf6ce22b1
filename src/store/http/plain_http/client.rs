//! Sends requests to a store without TLS by plain exchanges, or by object_store's client where those do not suffice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::uri::{Authority, Scheme, Uri};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse};

use super::exchange;
use super::pool::Pool;

/// Hosts that issue the clouds' credentials. object_store's client has special timeouts for them.
const METADATA: [&str; 3] = ["169.254.", "metadata.google.internal", "[fd00:ec2::254]"];

/// How long object_store's client sends all requests after a response that was not plain. Most stores send either all
/// objects with a length or none, and each response without a length costs a second request.
const FALLBACK: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct PlainClient {
    pool: Arc<Pool>,
    began: Instant,
    /// In milliseconds since `began`.
    fallback_until: AtomicU64,
}

impl PlainClient {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self { pool: Pool::new(connect_timeout), began: Instant::now(), fallback_until: AtomicU64::new(0) }
    }

    /// Sends a request, if necessary with the `general` client.
    pub(crate) async fn send(
        &self,
        general: &HttpClient,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let Some(host) = self.plain_host(&request) else { return general.execute(request).await };
        if let Some(response) = exchange::send(&self.pool, host, &request).await? {
            return Ok(response);
        }
        let response = general.execute(request).await?;
        if response.status().is_success() {
            let until = self.now().saturating_add(FALLBACK.as_millis().try_into().unwrap_or_default());
            self.fallback_until.store(until, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// The host, if a plain exchange can carry this request: it is idempotent and has no body.
    fn plain_host<'r>(&self, request: &'r HttpRequest) -> Option<&'r Authority> {
        let is_plain = request.method().is_idempotent() && request.body().content_length() == 0;
        // The clock is read only after a fallback.
        let until = self.fallback_until.load(Ordering::Relaxed);
        let falls_back = until > 0 && self.now() < until;
        store_host(request.uri()).filter(|_| is_plain && !falls_back)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The host of a store that is reached without TLS.
fn store_host(uri: &Uri) -> Option<&Authority> {
    let host = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP))?;
    (!METADATA.iter().any(|name| host.host().starts_with(name))).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stores_without_tls_get_plain_exchanges() {
        for (uri, host) in [
            ("http://127.0.0.1:9000/bucket/x", Some("127.0.0.1:9000")),
            ("http://store/x", Some("store")),
            ("https://store/x", None),
            ("http://169.254.169.254/latest/api/token", None),
            ("http://metadata.google.internal/computeMetadata/v1/", None),
            ("http://[fd00:ec2::254]/latest", None),
            ("/x", None),
        ] {
            assert_eq!(store_host(&uri.parse().unwrap()).map(Authority::as_str), host, "{uri}");
        }
    }
}
