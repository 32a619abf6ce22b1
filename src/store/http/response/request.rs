//! What a request for an object asks for, as far as the form of its response depends on it.

use http::header::{HeaderName, IF_NONE_MATCH, RANGE};
use http::{Extensions, Method};
use object_store::client::HttpRequest;

use super::range;
use crate::store::span::Span;

/// Marks a request for an object among the extensions that object_store passes on. Other requests are for credentials.
#[derive(Debug, Clone, Copy)]
struct ForObject;

/// The extensions of a request for an object.
pub(crate) fn for_object() -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(ForObject);
    extensions
}

/// A request for an object.
#[derive(Debug)]
pub(crate) struct ObjectRequest {
    pub(super) head: bool,
    pub(super) conditional: bool,
    pub(super) range: Option<Span>,
    /// Whether object_store accepts only objects with an entity tag: it accepts others from S3 alone.
    pub(super) needs_tag: bool,
}

/// A field of every signed request to S3.
const SIGNED_FOR_S3: HeaderName = HeaderName::from_static("x-amz-content-sha256");

impl ObjectRequest {
    /// What a request asks for, if it is one for an object.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<ForObject>()?;
        let fields = request.headers();
        Some(Self {
            head: request.method() == Method::HEAD,
            conditional: fields.contains_key(IF_NONE_MATCH),
            range: fields.get(RANGE).and_then(range::requested),
            needs_tag: !fields.contains_key(SIGNED_FOR_S3),
        })
    }
}
