//! Provides object_store's HTTP client: it adds the trace header field to each request, and normalizes responses with
//! objects. The field is added after signing, so the signature stays valid.

use std::sync::Arc;

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientConfigKey, ClientOptions};

use super::http1::client::Http1Client;
use super::response::{self, ObjectRequest};
use super::signed_get::captured::CapturedRequest;
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
    /// Our own client; `None` if a setting needs object_store's client for every request.
    pub(crate) own: Option<Arc<Http1Client>>,
}

impl HttpConnector for StoreConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let general = ReqwestConnector::default().connect(options)?;
        let (own, allows_http) = (self.own.clone(), allows_http(options));
        Ok(HttpClient::new(StoreClient { own, allows_http, general }))
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
    own: Option<Arc<Http1Client>>,
    /// Our own client would use plain HTTP for any store. object_store's client does so only if the options allow it.
    allows_http: bool,
    /// object_store's default client.
    general: HttpClient,
}

#[async_trait::async_trait]
impl HttpService for StoreClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let own = self.own.as_ref();
        let origin = own.and_then(|own| own.origin(&request));
        let origin = origin.filter(|origin| origin.tls || self.allows_http);
        if let Some(captured) = request.extensions().get::<CapturedRequest>() {
            captured.set(&request, origin.clone());
        }
        trace::inject(request.headers_mut());
        let object = ObjectRequest::of(&request);
        let response = match (own, origin) {
            (Some(own), Some(origin)) => own.send(&self.general, &origin, request).await?,
            _ => self.general.execute(request).await?,
        };
        match object {
            Some(object) => response::normalize(&object, response).await,
            None => Ok(response),
        }
    }
}
