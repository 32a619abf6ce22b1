//! A rehearsal: the store's client is made, and makes a request that goes nowhere. What object_store dislikes about its
//! settings it says, or panics over, only then; and only then it shows where it would really go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, GetOptions, ObjectStore, RetryConfig};

use super::client_settings;
use super::guard::{self, Panicked};
use super::path_of;
use super::sample::SAMPLE;
use crate::asset::AssetRef;

/// What makes connections, whatever that is: object_store's builders take one type.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Arc<dyn HttpConnector>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        self.0.connect(options)
    }
}

/// Whether these options let a client do without TLS.
pub(super) fn allows_http(options: &ClientOptions) -> bool {
    let value = options.get_config_value(&ClientConfigKey::AllowHttp);
    value.is_some_and(|value| client_settings::flag(&value) == Some(true))
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    Panicked,
    /// The client cannot be made.
    Refused(object_store::Error),
    /// It would speak plain HTTP, and may not.
    PlainHttp,
}

/// For the whole rehearsal; nothing in it waits.
const LONGEST: Duration = Duration::from_secs(5);

/// Rehearses with the client that `build` makes.
pub(super) fn rehearse(
    build: impl FnOnce(Connector, RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> + Send,
) -> Result<(), Fault> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let connector = Connector(Arc::new(Nowhere { asked: Arc::clone(&asked) }));
    let once =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO };
    let rehearsed = guard::apart(move || -> object_store::Result<()> {
        let store = build(connector, once)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            let path = path_of(AssetRef::recording(SAMPLE));
            let asking =
                async { tokio::time::timeout(LONGEST, store.get_opts(&path, GetOptions::new())).await };
            // That it fails is certain; how it does, or that it does not come back, says nothing.
            let _ = runtime.block_on(asking);
        }
        Ok(())
    });
    match rehearsed {
        Err(Panicked) => Err(Fault::Panicked),
        Ok(Err(error)) => Err(Fault::Refused(error)),
        Ok(Ok(())) => {
            let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            match () {
                () if asked.iter().any(|asked| !asked.is_url) => Err(Fault::Panicked),
                () if asked.iter().any(Asked::is_refused) => Err(Fault::PlainHttp),
                () => Ok(()),
            }
        }
    }
}

/// A request that would have been sent.
#[derive(Debug)]
struct Asked {
    uri: Uri,
    /// The client below reads it as a URL once more, and panics if it is none.
    is_url: bool,
    may_be_plain: bool,
}

impl Asked {
    fn is_refused(&self) -> bool {
        self.uri.scheme_str() == Some("http") && !self.may_be_plain
    }
}

/// Notes what is asked and fails.
#[derive(Debug)]
struct Nowhere {
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl HttpConnector for Nowhere {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // The real one, for what it dislikes about the options.
        ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Noting { asked: Arc::clone(&self.asked), may_be_plain: allows_http(options) }))
    }
}

#[derive(Debug)]
struct Noting {
    asked: Arc<Mutex<Vec<Asked>>>,
    may_be_plain: bool,
}

#[async_trait::async_trait]
impl HttpService for Noting {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let is_url = url::Url::parse(&uri.to_string()).is_ok();
        let asked = Asked { uri, is_url, may_be_plain: self.may_be_plain };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        Err(HttpError::new(HttpErrorKind::Unknown, std::io::Error::other("a rehearsal")))
    }
}
