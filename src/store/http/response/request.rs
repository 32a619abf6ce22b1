//! What a request for an object asks for, as far as the form of its response depends on it.

use std::ops::Range;

use object_store::client::HttpRequest;
use object_store::{GetOptions, GetRange};

/// A request for an object. It is an extension of the request, which object_store passes on; requests for credentials have none.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRequest {
    pub(super) head: bool,
    pub(super) conditional: bool,
    pub(super) range: Option<GetRange>,
    /// Whether object_store accepts only objects with an entity tag: it accepts others from S3 alone.
    pub(super) needs_tag: bool,
}

/// A field of every signed request to S3.
const SIGNED_FOR_S3: &str = "x-amz-content-sha256";

impl ObjectRequest {
    /// The options of a request for an object, with the request as their extension.
    pub(crate) fn mark(mut options: GetOptions) -> GetOptions {
        let (head, conditional) = (options.head, options.if_none_match.is_some());
        let request = Self { head, conditional, range: options.range.clone(), needs_tag: true };
        options.extensions.insert(request);
        options
    }

    /// The request for an object that this request of object_store is, if it is one.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        let object = request.extensions().get::<Self>()?.clone();
        Some(Self { needs_tag: !request.headers().contains_key(SIGNED_FOR_S3), ..object })
    }

    /// The requested positions of an object of `size` bytes; `None` if there are none.
    pub(super) fn within(&self, size: u64) -> Option<Range<u64>> {
        let Some(range) = &self.range else { return Some(0..size) };
        range.as_range(size).ok().filter(|range| !range.is_empty())
    }
}
