//! Requests to the store that tell it of the trace they belong to. The field is added after signing, so it spoils no
//! signature, and to whichever client sends the request.

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::plain_http::PlainHttp;
use crate::telemetry::trace;

/// Makes clients that hand the trace down.
#[derive(Debug)]
pub(super) struct Traced {
    /// Our own client, unless object_store's is needed.
    pub(super) plain: Option<PlainHttp>,
}

impl HttpConnector for Traced {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = match &self.plain {
            Some(plain) => plain.connect(options),
            None => ReqwestConnector::default().connect(options),
        };
        Ok(HttpClient::new(Telling(client?)))
    }
}

#[derive(Debug)]
struct Telling(HttpClient);

#[async_trait::async_trait]
impl HttpService for Telling {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        trace::hand_down(request.headers_mut());
        self.0.execute(request).await
    }
}
