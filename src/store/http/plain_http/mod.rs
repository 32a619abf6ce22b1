//! HTTP to a store without TLS, as it is spoken inside a cluster: connections of our own beneath object_store, which keeps
//! its signing, its retries and its API. Its own client (reqwest) costs about twice as much for a small object; it keeps
//! everything else: TLS, proxies, the clouds' metadata services.
//!
//! An answer whose body has a plain length, as almost all have, is read here (`head`, `body`), so that a long body can
//! leave its connection without retryable through here ([`RawBody`]). Everything else that HTTP/1 allows is left to hyper (`odd`).

mod body;
mod connection;
mod head;
mod odd;
mod pool;

pub(crate) use body::RawBody;

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme, Uri};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use pool::Pool;

/// Where the clouds hand out credentials; their client has waits of its own.
const METADATA: [&str; 3] = ["169.254.", "metadata.google.internal", "[fd00:ec2::254]"];

/// Makes clients that speak plain HTTP themselves.
#[derive(Debug)]
pub(crate) struct PlainHttp {
    pub(crate) connect_timeout: Duration,
}

impl HttpConnector for PlainHttp {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let others = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { pool: Pool::new(self.connect_timeout), others }))
    }
}

#[derive(Debug)]
struct Client {
    pool: Arc<Pool>,
    others: HttpClient,
}

#[async_trait::async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        match plain_host(request.uri()).cloned() {
            Some(host) => self.pool.send(host, request).await,
            None => self.others.execute(request).await,
        }
    }
}

/// Where a request goes that is sent here.
fn plain_host(uri: &Uri) -> Option<&Authority> {
    let host = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP))?;
    (!METADATA.iter().any(|name| host.host().starts_with(name))).then_some(host)
}

fn failed(kind: HttpErrorKind, error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_a_store_is_spoken_here() {
        for (uri, host) in [
            ("http://127.0.0.1:9000/bucket/x", Some("127.0.0.1:9000")),
            ("http://store/x", Some("store")),
            ("https://store/x", None),
            ("http://169.254.169.254/latest/api/token", None),
            ("http://metadata.google.internal/computeMetadata/v1/", None),
            ("http://[fd00:ec2::254]/latest", None),
            ("/x", None),
        ] {
            assert_eq!(plain_host(&uri.parse().unwrap()).map(Authority::as_str), host, "{uri}");
        }
    }
}
