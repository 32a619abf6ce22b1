//! Reads the body of an object as the store sends it, and reopens it at a later byte.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload};

use super::catch_panic::catch_panics;
use super::error::StoreError;
use super::http::http1::body::RawBody;
use super::http::pipe::Pipe;
use super::http::response::UnsizedBody;
use super::local::file_slice::FileSlice;
use super::meta::Validator;
use super::metrics::StoreOperation;
use super::source::Source;

/// The bytes of a body; an error ends them.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// A body from the store.
pub(super) enum ObjectBody {
    File(FileSlice),
    /// If it has a raw body, a pipe can take its bytes.
    Stream(ByteStream, Option<RawBody>),
    /// The stream ended when the pipe began to take the bytes: object_store would resume it at the wrong position.
    Piped(RawBody, Arc<Pipe>),
}

impl ObjectBody {
    pub(super) fn of(result: GetResult) -> Self {
        let raw = result.extensions.get::<RawBody>().cloned();
        match result.payload {
            GetResultPayload::File(file, _) => {
                let content = result.extensions.get().copied();
                Self::File(FileSlice::new(file, result.range, content))
            }
            GetResultPayload::Stream(chunks) => {
                Self::Stream(Box::pin(catch_panics(chunks).map(|chunk| chunk.map_err(StoreError::from))), raw)
            }
        }
    }

    /// Opens the bytes `wanted` of the same version of the object. The validator is compared here: some stores ignore
    /// If-Match, and the store does not know our derived tags.
    pub(super) async fn reopen(
        source: &Arc<Source>,
        operation: StoreOperation,
        path: &Path,
        version: &Validator,
        wanted: Range<u64>,
    ) -> Result<Self, StoreError> {
        let range = Some(GetRange::Bounded(wanted.clone()));
        let options = GetOptions::new().with_range(range);
        let result = match source.request(operation, path, options).await {
            Err(StoreError::NotFound) => return Err(StoreError::Changed),
            other => other?,
        };
        if result.extensions.get::<UnsizedBody>().is_some() {
            return Err(StoreError::broken("it no longer says how long the object is"));
        }
        if Validator::of(&result).as_ref() != Some(version) {
            return Err(StoreError::Changed);
        }
        if result.range != wanted {
            return Err(StoreError::broken("it answered with another range than was asked for"));
        }
        Ok(Self::of(result))
    }

    pub(super) fn empty() -> Self {
        Self::Stream(Box::pin(stream::empty()), None)
    }

    pub(super) fn into_stream(self) -> ByteStream {
        match self {
            Self::File(slice) => Box::pin(stream::unfold(slice, |mut slice| async move {
                slice.read().await.map(|chunk| (chunk, slice))
            })),
            Self::Stream(chunks, _) => chunks,
            Self::Piped(..) => Box::pin(stream::empty()),
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        match self {
            Self::File(slice) => slice.read().await,
            Self::Stream(chunks, _) => chunks.next().await,
            Self::Piped(..) => None,
        }
    }

    /// Whether the next `length` bytes are still on the store's connection, and a pipe can take them.
    pub(super) fn can_be_piped(&self, length: u64, least: u64) -> bool {
        match self {
            Self::Stream(_, Some(raw)) => length > least && raw.is_unread(length),
            Self::Piped(raw, _) => raw.is_unread(length),
            _ => false,
        }
    }

    /// Switches to a pipe, if one is free. Otherwise, the rest is read.
    pub(super) fn pipe(&mut self) -> Option<(RawBody, Arc<Pipe>)> {
        if let Self::Stream(_, raw @ Some(_)) = self {
            let (raw, pipe) = (raw.take()?, Pipe::acquire()?);
            *self = Self::Piped(raw, Arc::new(pipe));
        }
        match self {
            Self::Piped(raw, pipe) => Some((raw.clone(), Arc::clone(pipe))),
            _ => None,
        }
    }
}
