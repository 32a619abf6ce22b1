//! A dry run of a store's client: its first request is checked and not sent. Only a request shows which settings object_store
//! rejects, or panics over, and where it would connect to.

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
    /// It panics, or would at its first request.
    Panicked,
    /// The builder rejects the settings.
    Refused(object_store::Error),
    /// It would use plain HTTP without permission.
    PlainHttp,
}

/// For the whole dry run; nothing in it waits.
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
            // It always fails, and `found` says what matters.
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

/// What was wrong with a request.
#[derive(Debug, Default)]
struct Found {
    /// The client below parses the URI as a URL, and panics if it is none.
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
