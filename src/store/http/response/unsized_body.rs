//! A body of which nobody said how long it is.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use object_store::client::{HttpError, HttpResponseBody};

/// The whole object, on its way past object_store among the extensions of the answer: object_store knows nothing but bodies
/// of a known length, and takes up what breaks by counting from there.
#[derive(Debug, Clone)]
pub(crate) struct UnsizedBody(Arc<Mutex<Option<HttpResponseBody>>>);

impl UnsizedBody {
    /// What object_store is told of its length.
    pub(crate) const SIZE: u64 = 1 << 62;

    pub(crate) fn new(body: HttpResponseBody) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// The bytes. Whoever asks again gets none.
    pub(crate) fn take(&self) -> BoxStream<'static, Result<Bytes, HttpError>> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        body.map_or_else(|| stream::empty().boxed(), HttpResponseBody::bytes_stream)
    }
}
