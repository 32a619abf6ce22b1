//! The client of every request to a store: it tells the store of the trace that the request belongs to, and makes of the
//! answer what object_store understands. The field of the trace is added after signing, so it spoils no signature.

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::plain_http::PlainHttp;
use super::response::{self, ObjectRequest};
use crate::store::cloud::dry_run::allows_http;
use crate::telemetry::trace;

/// Makes clients that hand the trace down.
#[derive(Debug)]
pub(crate) struct TracingConnector {
    /// Our own client, unless object_store's is needed.
    pub(crate) plain: Option<PlainHttp>,
}

impl HttpConnector for TracingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Our own client would speak plain HTTP to any store; object_store's does if it may.
        let client = match &self.plain {
            Some(plain) if allows_http(options) => plain.connect(options),
            _ => ReqwestConnector::default().connect(options),
        };
        Ok(HttpClient::new(TracingClient(client?)))
    }
}

#[derive(Debug)]
struct TracingClient(HttpClient);

#[async_trait::async_trait]
impl HttpService for TracingClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        trace::inject(request.headers_mut());
        let asked = ObjectRequest::of(&request);
        let answer = self.0.execute(request).await?;
        match asked {
            Some(asked) => response::normalize(&asked, answer).await,
            None => Ok(answer),
        }
    }
}
