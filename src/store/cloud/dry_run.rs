//! A rehearsal: the store's client is made, and makes a request that goes nowhere. What object_store dislikes about its
//! settings it says, or panics over, only then; and only then it shows where it would really go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, GetOptions, ObjectStore, RetryConfig};

use super::settings;
use crate::asset::AssetRef;
use crate::store::catch_panic::{self, Panicked};
use crate::store::sample::SAMPLE;

/// What makes connections, whatever that is: object_store's builders take one type.
#[derive(Debug, Clone)]
pub(crate) struct AnyConnector(pub(crate) Arc<dyn HttpConnector>);

impl HttpConnector for AnyConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        self.0.connect(options)
    }
}

/// Whether these options let a client do without TLS.
pub(crate) fn allows_http(options: &ClientOptions) -> bool {
    let value = options.get_config_value(&ClientConfigKey::AllowHttp);
    value.is_some_and(|value| settings::flag(&value) == Some(true))
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum DryRunError {
    Panicked,
    /// The client cannot be made.
    Refused(object_store::Error),
    /// It would speak plain HTTP, and may not.
    PlainHttp,
}

/// For the whole rehearsal; nothing in it waits.
const LONGEST: Duration = Duration::from_secs(5);

/// Rehearses with the client that `build` makes.
pub(crate) fn dry_run(
    build: impl FnOnce(AnyConnector, RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> + Send,
) -> Result<(), DryRunError> {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let connector = AnyConnector(Arc::new(NullConnector { sent: Arc::clone(&sent) }));
    let once =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO };
    let rehearsed = catch_panic::run_isolated(move || -> object_store::Result<()> {
        let store = build(connector, once)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            let path = Path::from(AssetRef::recording(SAMPLE).object_path());
            let asking =
                async { tokio::time::timeout(LONGEST, store.get_opts(&path, GetOptions::new())).await };
            // That it fails is certain; how it does, or that it does not come back, says nothing.
            let _ = runtime.block_on(asking);
        }
        Ok(())
    });
    match rehearsed {
        Err(Panicked) => Err(DryRunError::Panicked),
        Ok(Err(error)) => Err(DryRunError::Refused(error)),
        Ok(Ok(())) => {
            let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            match () {
                () if sent.iter().any(|sent| !sent.is_url) => Err(DryRunError::Panicked),
                () if sent.iter().any(SentRequest::is_refused) => Err(DryRunError::PlainHttp),
                () => Ok(()),
            }
        }
    }
}

/// A request that would have been sent.
#[derive(Debug)]
struct SentRequest {
    uri: Uri,
    /// The client below reads it as a URL once more, and panics if it is none.
    is_url: bool,
    may_be_plain: bool,
}

impl SentRequest {
    fn is_refused(&self) -> bool {
        self.uri.scheme_str() == Some("http") && !self.may_be_plain
    }
}

/// Notes what is sent and fails.
#[derive(Debug)]
struct NullConnector {
    sent: Arc<Mutex<Vec<SentRequest>>>,
}

impl HttpConnector for NullConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // The real one, for what it dislikes about the options.
        ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(NullClient { sent: Arc::clone(&self.sent), may_be_plain: allows_http(options) }))
    }
}

#[derive(Debug)]
struct NullClient {
    sent: Arc<Mutex<Vec<SentRequest>>>,
    may_be_plain: bool,
}

#[async_trait::async_trait]
impl HttpService for NullClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let is_url = url::Url::parse(&uri.to_string()).is_ok();
        let sent = SentRequest { uri, is_url, may_be_plain: self.may_be_plain };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        Err(HttpError::new(HttpErrorKind::Unknown, std::io::Error::other("a rehearsal")))
    }
}
