//! Describes a request for an object, as far as its response must match it.

use std::ops::Range;

use object_store::client::HttpRequest;
use object_store::{GetOptions, GetRange};

/// A request for an object, stored as an extension of the HTTP request, which object_store passes on. Requests for
/// credentials have no such extension.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRequest {
    pub(crate) head: bool,
    pub(crate) conditional: bool,
    pub(super) range: Option<GetRange>,
    /// Whether object_store accepts only objects with an entity tag. It accepts others only from S3.
    pub(super) needs_tag: bool,
}

/// A header field of every signed request to S3.
const SIGNED_FOR_S3: &str = "x-amz-content-sha256";

impl ObjectRequest {
    /// Adds the object request to its options as an extension.
    pub(crate) fn mark(mut options: GetOptions) -> GetOptions {
        let (head, conditional) = (options.head, options.if_none_match.is_some());
        let request = Self { head, conditional, range: options.range.clone(), needs_tag: true };
        options.extensions.insert(request);
        options
    }

    /// The object request that an HTTP request of object_store carries, if any.
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
