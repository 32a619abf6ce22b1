//! Opens one version of an object, with as few requests as the store allows.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};

use super::chunks::Chunks;
use super::error::StoreError;
use super::http::response::UnsizedBody;
use super::meta::Meta;
use super::metrics::StoreOperation;
use super::object::{Object, Opened, Unsized, Version};
use super::object_body::ByteStream;
use super::source::{Source, in_time};
use super::span::Span;
use super::{content_coding, prefetch};
use crate::clock::running::{self, RunningInstant};

/// How much of an object of unknown size is read to find its end. A longer object is sent without a length.
const READ_FOR_SIZE: usize = 1 << 20;

/// A request for an object, which may take several requests to the store.
pub(super) struct GetObject<'o> {
    pub(super) source: &'o Arc<Source>,
    pub(super) path: Path,
    pub(super) version: Version<'o>,
}

/// Whether the stored bytes are the object's bytes (not encoded) and their number is known.
pub(super) fn is_plain(result: &GetResult) -> Result<bool, StoreError> {
    let framed = result.extensions.get::<UnsizedBody>().is_none();
    Ok(framed && content_coding::codings_of(&result.attributes)?.is_empty())
}

impl GetObject<'_> {
    pub(super) async fn open(&self, span: Span) -> Result<Opened, StoreError> {
        let ahead = prefetch::first_segment(span, self.source.timeouts.read_ahead);
        let range =
            ahead.as_ref().map_or(span.as_get_range(), |first| Some(GetRange::Bounded(first.clone())));
        match self.ask(range.clone()).await {
            Ok(result) => self.open_result(result, span, ahead).await,
            Err(error) if range.is_some() && is_about_the_range(&error, span) => {
                Box::pin(self.open_by_size(span)).await
            }
            Err(error) => Err(error),
        }
    }

    /// Some stores report 416 without the size, and some refuse suffix ranges. Then the size is requested first.
    async fn open_by_size(&self, span: Span) -> Result<Opened, StoreError> {
        let head = self.source.head(&self.path).await?;
        let range = if is_plain(&head)? {
            let meta = Meta::from(&head.meta);
            let Some(range) = span.within(meta.size) else { return Err(StoreError::Unsatisfiable(meta)) };
            Some(GetRange::Bounded(range)).filter(|_| span != Span::Whole)
        } else {
            None
        };
        self.open_result(self.ask(range).await?, span, None).await
    }

    async fn ask(&self, range: Option<GetRange>) -> Result<GetResult, StoreError> {
        let options = || GetOptions::new().with_range(range.clone());
        let get = |options| self.source.request(StoreOperation::Get, &self.path, options);
        let Version::Other(etag) = self.version else {
            // `is_wanted` compares `Same`: some stores ignore If-Match, and the store does not know our derived tags.
            return get(options()).await;
        };
        match get(options().with_if_none_match(Some(etag))).await {
            // The request must not fail because of the client's condition.
            Err(StoreError::Withheld(_) | StoreError::Changed) => get(options()).await,
            other => other,
        }
    }

    async fn open_result(
        &self,
        result: GetResult,
        span: Span,
        ahead: Option<Range<u64>>,
    ) -> Result<Opened, StoreError> {
        if !is_plain(&result)? {
            return Box::pin(self.open_unsized(result, span)).await;
        }
        let (meta, range) = (Meta::from(&result.meta), result.range.clone());
        self.is_wanted(&meta)?;
        if ahead.is_some() && meta.has_no_tag() {
            // Without a tag, segments could be of different versions. A single stream has one version.
            let whole = self.ask(span.as_get_range()).await?;
            return Box::pin(self.open_result(whole, span, None)).await;
        }
        // Some stores answer an empty suffix range with no bytes instead of an error.
        let Some(wanted) = span.within(meta.size) else { return Err(StoreError::Unsatisfiable(meta)) };
        let begun = ahead.map_or(wanted.end, |first| first.end.min(wanted.end));
        if range != wanted && range != (wanted.start..begun) {
            return Err(StoreError::broken("it answered with another range than was asked for"));
        }
        let chunks =
            Chunks::start(Arc::clone(self.source), self.path.clone(), result, wanted.clone()).await?;
        Ok(Opened::Sized(Object { meta, range: wanted, chunks }))
    }

    /// Checks that this is the requested version.
    fn is_wanted(&self, meta: &Meta) -> Result<(), StoreError> {
        match self.version {
            Version::Same(etag) if etag != meta.etag => Err(StoreError::Changed),
            _ => Ok(()),
        }
    }

    /// Opens an object of unknown size: it is encoded, or the store does not announce its length. Ranges refer to
    /// decoded bytes, so the object is read from the beginning.
    async fn open_unsized(&self, result: GetResult, span: Span) -> Result<Opened, StoreError> {
        let is_whole =
            result.extensions.get::<UnsizedBody>().is_some() || result.range == (0..result.meta.size);
        let result = if is_whole { result } else { self.ask(None).await? };
        let meta = Meta::from(&result.meta);
        self.is_wanted(&meta)?;
        let codings = content_coding::codings_of(&result.attributes)?;
        let stored = self.stored_bytes(result).await?;
        let mut bytes = content_coding::decode(stored, &codings);
        let (start, ended) = self.read_start(&mut bytes).await?;
        if !ended {
            let bytes = Box::pin(stream::iter([Ok(start)]).chain(bytes));
            return Ok(Opened::Unsized(Unsized {
                etag: meta.etag,
                last_modified: meta.last_modified,
                pieces: bytes,
            }));
        }
        let meta = Meta { size: start.len() as u64, ..meta };
        let Some(range) = span.within(meta.size) else { return Err(StoreError::Unsatisfiable(meta)) };
        let place = |at: u64| usize::try_from(at).unwrap_or_default();
        let bytes = start.slice(place(range.start)..place(range.end));
        let chunks = Chunks::of_bytes(Arc::clone(self.source), self.path.clone(), bytes);
        Ok(Opened::Sized(Object { meta, range, chunks }))
    }

    /// All stored bytes of the object.
    async fn stored_bytes(&self, result: GetResult) -> Result<ByteStream, StoreError> {
        let stall = self.source.timeouts.stall;
        let Some(unframed) = result.extensions.get::<UnsizedBody>() else {
            let whole = 0..result.meta.size;
            let chunks = Chunks::start(Arc::clone(self.source), self.path.clone(), result, whole).await?;
            return Ok(Box::pin(chunks.into_stream()));
        };
        let (source, body) = (Arc::clone(self.source), unframed.take());
        Ok(Box::pin(stream::unfold((source, body), move |(source, mut body)| async move {
            let chunk = match in_time(stall, "more bytes", pin!(body.next())).await {
                Ok(None) => return None,
                Ok(Some(chunk)) => chunk.map_err(StoreError::from),
                Err(error) => Err(error),
            };
            match &chunk {
                Ok(_) => source.breaker.succeeded(),
                Err(error) => source.metrics.broke_off(error.reason()),
            }
            Some((chunk, (source, body)))
        })))
    }

    /// Reads the first bytes, and returns whether they are all. The wait for bytes after the first ends with the
    /// first-byte timeout.
    async fn read_start(&self, bytes: &mut ByteStream) -> Result<(Bytes, bool), StoreError> {
        let (started, waited) = (RunningInstant::now(), self.source.timeouts.first_byte);
        let mut start = BytesMut::new();
        while start.len() <= READ_FOR_SIZE {
            let left = waited.saturating_sub(started.elapsed());
            match running::timeout(left, bytes.next()).await {
                Ok(Some(chunk)) => start.extend_from_slice(&chunk?),
                Ok(None) => return Ok((start.freeze(), true)),
                Err(_) if start.is_empty() => {
                    return Err(StoreError::TimedOut { waited, for_what: "the first bytes" });
                }
                Err(_) => break,
            }
        }
        Ok((start.freeze(), false))
    }
}

/// Whether the range may have caused the failure: 416, an invalid response (Azurite sends one for a range far past the
/// end), or any refusal of a suffix range, which some stores do not support.
fn is_about_the_range(error: &StoreError, span: Span) -> bool {
    let suffix = matches!(span, Span::Last(_)) && matches!(error, StoreError::Withheld(_));
    suffix || matches!(error, StoreError::Broken(_)) || error.may_be_the_range()
}
