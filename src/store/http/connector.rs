//! Provides object_store's HTTP client: it adds the trace header field to each request, and normalizes responses with
//! objects. The field is added after signing, so the signature stays valid.

use std::sync::Arc;
use std::time::Duration;

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientConfigKey, ClientOptions};

use super::plain_http::client::PlainClient;
use super::response::{self, ObjectRequest};
use crate::telemetry::trace;

/// Wraps any connector, because object_store's builders need one type.
#[derive(Debug, Clone)]
pub(crate) struct AnyConnector(pub(crate) Arc<dyn HttpConnector>);

impl HttpConnector for AnyConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        self.0.connect(options)
    }
}

/// Creates the client that sends every request to a store.
#[derive(Debug)]
pub(crate) struct StoreConnector {
    /// The connect timeout of our own client; `None` if a setting needs object_store's client.
    pub(crate) plain: Option<Duration>,
}

impl HttpConnector for StoreConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Our own client would use plain HTTP for any store. object_store's client does so only if the options allow
        // it.
        let plain = self.plain.filter(|_| allows_http(options)).map(PlainClient::new);
        let general = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(StoreClient { plain, general }))
    }
}

/// Whether these options allow plain HTTP.
pub(crate) fn allows_http(options: &ClientOptions) -> bool {
    let value = options.get_config_value(&ClientConfigKey::AllowHttp);
    value.is_some_and(|value| flag(&value) == Some(true))
}

/// A flag, as object_store parses it; its parser is private.
pub(crate) fn flag(value: &str) -> Option<bool> {
    match &*value.to_ascii_lowercase() {
        "1" | "true" | "on" | "yes" | "y" => Some(true),
        "0" | "false" | "off" | "no" | "n" => Some(false),
        _ => None,
    }
}

#[derive(Debug)]
struct StoreClient {
    plain: Option<PlainClient>,
    /// object_store's default client.
    general: HttpClient,
}

#[async_trait::async_trait]
impl HttpService for StoreClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        trace::inject(request.headers_mut());
        let object = ObjectRequest::of(&request);
        let response = match &self.plain {
            Some(plain) => plain.send(&self.general, request).await?,
            None => self.general.execute(request).await?,
        };
        match object {
            Some(object) => response::normalize(&object, response).await,
            None => Ok(response),
        }
    }
}
