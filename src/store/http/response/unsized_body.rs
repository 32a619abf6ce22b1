//! Carries a body whose length the response does not announce.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use object_store::client::{HttpError, HttpResponseBody};

/// The body of a whole object, as an extension of the response. object_store does not see it, because it handles only
/// bodies of known length and resumes a broken body by its position.
#[derive(Debug, Clone)]
pub(crate) struct UnsizedBody(Arc<Mutex<Option<HttpResponseBody>>>);

impl UnsizedBody {
    /// The length that object_store sees instead.
    pub(super) const SIZE: u64 = 1 << 62;

    pub(super) fn new(body: HttpResponseBody) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// Takes the bytes. A second call returns an empty stream.
    pub(crate) fn take(&self) -> BoxStream<'static, Result<Bytes, HttpError>> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        body.map_or_else(|| stream::empty().boxed(), HttpResponseBody::bytes_stream)
    }
}
