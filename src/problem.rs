//! Errors as the internet sees them: RFC 9457 problem documents. Internal causes go to the log, never in here.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

/// A problem document: status, title, a stable code and a sentence that tells a person what to do.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    fields: Map<String, Value>,
}

impl Problem {
    /// A problem with the stable `code`; `detail` says what to do about it.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, title: &str, detail: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("type".into(), format!("urn:webhook-assets:problem:{code}").into());
        fields.insert("title".into(), title.into());
        fields.insert("status".into(), status.as_u16().into());
        fields.insert("code".into(), code.into());
        fields.insert("detail".into(), detail.into());
        Self { status, fields }
    }

    /// Adds an extension member (RFC 9457 §3.2).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer: never stored by caches, never sniffed, and of a known length.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        // Indented: people read these in a browser or a terminal.
        let body = Bytes::from(format!("{:#}\n", Value::Object(self.fields)));
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let length = HeaderValue::from(response.body().len());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}
