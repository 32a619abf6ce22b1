//! Error responses: RFC 9457 problem documents. Internal causes go to the log, never into a document.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

/// Initial capacity in bytes, enough for most documents.
const CAPACITY: usize = 512;

/// A problem document: a status, a title, a stable code, and a sentence that tells people what to do.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    /// The unfinished document, without its closing brace. Indented, because people read it in a browser or a terminal.
    text: String,
}

impl Problem {
    /// A problem with the stable `code`; `detail` says what to do.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, title: &str, detail: &str) -> Self {
        let mut text = String::with_capacity(CAPACITY);
        text.push_str("{\n  \"type\": \"urn:webhook-assets:problem:");
        text.push_str(code);
        text.push('"');
        let mut problem = Self { status, code, text }.with("title", title);
        problem.text.push_str(",\n  \"status\": ");
        problem.text.push_str(status.as_str());
        problem.with("code", code).with("detail", detail)
    }

    /// Adds an extension member (RFC 9457 §3.2).
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push_str(",\n  \"");
        self.text.push_str(name);
        self.text.push_str("\": ");
        let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) && !matches!(byte, b'"' | b'\\');
        if value.as_bytes().iter().all(is_plain) {
            self.text.push('"');
            self.text.push_str(value);
            self.text.push('"');
        } else {
            self.text.push_str(&serde_json::Value::from(value).to_string());
        }
        self
    }

    /// The response status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Finishes the document.
    #[must_use]
    pub fn into_document(mut self) -> Document {
        self.text.push_str("\n}\n");
        Document { status: self.status, bytes: Bytes::from(self.text) }
    }

    /// Converts the problem to a response that caches do not store and browsers do not sniff, with a known length.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let document = self.into_document();
        let fields = document.fields();
        let mut response = Response::new(document.bytes);
        *response.status_mut() = document.status;
        response.headers_mut().extend(fields);
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// A finished problem document. Clones share its bytes.
#[derive(Debug, Clone)]
pub struct Document {
    /// The response status.
    pub status: StatusCode,
    /// The response body.
    pub bytes: Bytes,
}

impl Document {
    /// The header fields of the response, except `X-Content-Type-Options`.
    #[must_use]
    pub fn fields(&self) -> [(HeaderName, HeaderValue); 3] {
        [
            (CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
            (CONTENT_LENGTH, HeaderValue::from(self.bytes.len())),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn a_document_is_indented_json_with_its_members_in_order() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "gone", "Gone \"away\"", "Ask\nagain…");
        let body = problem.with("pointer", "/a").into_response().into_body();
        let expected = json!({
            "type": "urn:webhook-assets:problem:gone",
            "title": "Gone \"away\"",
            "status": 404,
            "code": "gone",
            "detail": "Ask\nagain…",
            "pointer": "/a",
        });
        assert_eq!(std::str::from_utf8(&body).unwrap(), format!("{expected:#}\n"));
    }

    proptest! {
        #[test]
        fn any_detail_is_read_as_it_was_written(detail in any::<String>()) {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "bad", "Bad", &detail);
            let read: Value = serde_json::from_slice(problem.into_response().body()).unwrap();
            prop_assert_eq!(&read["detail"], detail.as_str());
        }
    }
}
