//! The client that object_store uses for stores without TLS: plain exchanges of our own, object_store's client for the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::uri::{Authority, Scheme, Uri};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::exchange;
use super::pool::Pool;

/// Where the clouds hand out credentials; object_store's client has timeouts of its own for them.
const METADATA: [&str; 3] = ["169.254.", "metadata.google.internal", "[fd00:ec2::254]"];

/// After an object whose response was not plain, object_store's client sends the requests of this time: most stores send either
/// all objects with a length or none, and each response that is not plain costs a second request.
const FALLBACK: Duration = Duration::from_secs(10);

/// Makes clients that speak plain HTTP themselves.
#[derive(Debug)]
pub(crate) struct PlainHttp {
    pub(crate) connect_timeout: Duration,
}

impl HttpConnector for PlainHttp {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let general = ReqwestConnector::default().connect(options)?;
        let pool = Pool::new(self.connect_timeout);
        let client = Client { pool, general, began: Instant::now(), fallback_until: AtomicU64::new(0) };
        Ok(HttpClient::new(client))
    }
}

#[derive(Debug)]
struct Client {
    pool: Arc<Pool>,
    /// object_store's own.
    general: HttpClient,
    began: Instant,
    /// Milliseconds since the beginning.
    fallback_until: AtomicU64,
}

impl Client {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The host, if a plain exchange can carry this request: it may be sent twice, and has no body.
    fn plain_host(&self, request: &HttpRequest) -> Option<Authority> {
        let is_plain = request.method().is_idempotent() && request.body().content_length() == 0;
        let until = self.fallback_until.load(Ordering::Relaxed);
        let falls_back = until > 0 && self.now() < until;
        store_host(request.uri()).filter(|_| is_plain && !falls_back).cloned()
    }
}

#[async_trait::async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Some(host) = self.plain_host(&request) else { return self.general.execute(request).await };
        if let Some(response) = exchange::send(&self.pool, &host, &request).await? {
            return Ok(response);
        }
        let response = self.general.execute(request).await?;
        if response.status().is_success() {
            let until = self.now().saturating_add(FALLBACK.as_millis().try_into().unwrap_or_default());
            self.fallback_until.store(until, Ordering::Relaxed);
        }
        Ok(response)
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
