//! Runs a store's client once without sending its request. Only a request shows which settings make object_store fail
//! or panic, and where it would connect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, GetOptions, ObjectStore, RetryConfig};

use crate::store::catch_panic::{Panicked, run_isolated};
use crate::store::http::connector::{AnyConnector, allows_http};

/// Why the client cannot be used.
#[derive(Debug)]
pub(super) enum DryRunError {
    /// The client panics while it is built, or would panic at its first request.
    Panicked,
    /// The builder rejects the settings.
    Refused(object_store::Error),
    /// The client would use plain HTTP although no setting allows that.
    PlainHttp,
}

/// The timeout of the whole dry run. Nothing in it waits.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a request with the client of `build`.
pub(super) fn dry_run(
    build: impl FnOnce(AnyConnector, RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> + Send,
) -> Result<(), DryRunError> {
    let found = Arc::new(Found::default());
    let connector = AnyConnector(Arc::new(DryConnector(Arc::clone(&found))));
    let once =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO };
    let built = run_isolated(move || -> object_store::Result<()> {
        let store = build(connector, once)?;
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            let path = Path::from("recordings/dry-run.mp3");
            let request = store.get_opts(&path, GetOptions::new());
            // The request always fails. `found` has the result.
            let _ = runtime.block_on(async { tokio::time::timeout(TIMEOUT, request).await });
        }
        Ok(())
    });
    match built {
        Err(Panicked) => Err(DryRunError::Panicked),
        Ok(Err(error)) => Err(DryRunError::Refused(error)),
        Ok(Ok(())) if found.no_url.load(Ordering::Relaxed) => Err(DryRunError::Panicked),
        Ok(Ok(())) if found.plain_http.load(Ordering::Relaxed) => Err(DryRunError::PlainHttp),
        Ok(Ok(())) => Ok(()),
    }
}

/// The faults of a request.
#[derive(Debug, Default)]
struct Found {
    /// The request's URI is not a URL. The real client parses it as one and would panic.
    no_url: AtomicBool,
    plain_http: AtomicBool,
}

#[derive(Debug)]
struct DryConnector(Arc<Found>);

impl HttpConnector for DryConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // The real client checks the options.
        ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(DryClient { found: Arc::clone(&self.0), allows_http: allows_http(options) }))
    }
}

/// Checks requests instead of sending them.
#[derive(Debug)]
struct DryClient {
    found: Arc<Found>,
    allows_http: bool,
}

#[async_trait::async_trait]
impl HttpService for DryClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri();
        if url::Url::parse(&uri.to_string()).is_err() {
            self.found.no_url.store(true, Ordering::Relaxed);
        }
        if uri.scheme_str() == Some("http") && !self.allows_http {
            self.found.plain_http.store(true, Ordering::Relaxed);
        }
        Err(HttpError::new(HttpErrorKind::Unknown, std::io::Error::other("a dry run")))
    }
}
