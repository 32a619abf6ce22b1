//! Opens an object: with as few requests as the store allows, and one version of it, whatever the store says in which way.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};

use super::chunks::{ByteStream, Chunks, in_time};
use super::error::StoreError;
use super::http::response;
use super::http::response::UnsizedBody;
use super::meta::Meta;
use super::metrics::StoreOperation;
use super::object::{Object, Opened, Unsized, Version};
use super::source::Source;
use super::span::Span;
use super::{content_coding, prefetch};
use crate::clock::running::{self, RunningInstant};

/// How much of an object is read to learn its size, where only its end tells: what is longer is sent without a length.
const READ_FOR_SIZE: usize = 1 << 20;

/// One object, on its way to be open.
pub(super) struct GetObject<'o> {
    pub(super) source: &'o Arc<Source>,
    pub(super) path: Path,
    pub(super) version: Version<'o>,
}

/// Whether the bytes that arrive are those of the object, as many as are said.
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
            Ok(result) => self.begin(result, span, ahead).await,
            Err(error) if range.is_some() && is_about_the_range(&error, span) => {
                self.open_by_size(span).await
            }
            Err(error) => Err(error),
        }
    }

    /// Some stores report 416 without the size, and some refuse suffix ranges: the size decides.
    async fn open_by_size(&self, span: Span) -> Result<Opened, StoreError> {
        let head = self.source.head(&self.path).await?;
        let range = if is_plain(&head)? {
            let meta = Meta::from(&head.meta);
            let Some(range) = span.within(meta.size) else { return Err(StoreError::Unsatisfiable(meta)) };
            Some(GetRange::Bounded(range)).filter(|_| span != Span::Whole)
        } else {
            None
        };
        self.begin(self.ask(range).await?, span, None).await
    }

    async fn ask(&self, range: Option<GetRange>) -> Result<GetResult, StoreError> {
        let options = || GetOptions::new().with_range(range.clone()).with_extensions(response::for_object());
        let get = |options| self.source.request(StoreOperation::Get, &self.path, options);
        let Version::Other(etag) = self.version else {
            // Same is compared below instead: some stores ignore If-Match, and a tag that was made here matches nothing there.
            return get(options()).await;
        };
        match get(options().with_if_none_match(Some(etag))).await {
            // What the client knows must not be what the object fails for.
            Err(StoreError::Withheld(_) | StoreError::Changed) => get(options()).await,
            other => other,
        }
    }

    async fn begin(
        &self,
        result: GetResult,
        span: Span,
        ahead: Option<Range<u64>>,
    ) -> Result<Opened, StoreError> {
        if !is_plain(&result)? {
            return self.open_unsized(result, span).await;
        }
        let (meta, range) = (Meta::from(&result.meta), result.range.clone());
        self.is_wanted(&meta)?;
        if ahead.is_some() && meta.has_no_tag() {
            // Nothing would tell whether the segments belong together: one stream is of one version.
            let whole = self.ask(span.as_get_range()).await?;
            return Box::pin(self.begin(whole, span, None)).await;
        }
        // Some stores answer an empty suffix with no bytes instead of refusing it.
        let Some(wanted) = span.within(meta.size) else { return Err(StoreError::Unsatisfiable(meta)) };
        let begun = ahead.map_or(wanted.end, |first| first.end.min(wanted.end));
        if range != wanted && range != (wanted.start..begun) {
            return Err(StoreError::broken("it answered with another range than was asked for"));
        }
        let chunks =
            Chunks::start(Arc::clone(self.source), self.path.clone(), result, wanted.clone()).await?;
        Ok(Opened::Sized(Object { meta, range: wanted, chunks }))
    }

    /// Whether it is the version that was asked for.
    fn is_wanted(&self, meta: &Meta) -> Result<(), StoreError> {
        match self.version {
            Version::Same(etag) if etag != meta.etag => Err(StoreError::Changed),
            _ => Ok(()),
        }
    }

    /// Opens an object whose size only its end tells: it is encoded, or the store does not say how long it is. A range is
    /// one of what it decodes to, so it is read from its beginning.
    async fn open_unsized(&self, result: GetResult, span: Span) -> Result<Opened, StoreError> {
        let is_whole =
            result.extensions.get::<UnsizedBody>().is_some() || result.range == (0..result.meta.size);
        let result = if is_whole { result } else { self.ask(None).await? };
        let meta = Meta::from(&result.meta);
        self.is_wanted(&meta)?;
        let codings = content_coding::codings_of(&result.attributes)?;
        let stored = self.stored(result).await?;
        let mut pieces = content_coding::decoded(stored, &codings);
        let (start, ended) = self.beginning_of(&mut pieces).await?;
        if !ended {
            let pieces = Box::pin(stream::iter([Ok(start)]).chain(pieces));
            return Ok(Opened::Unsized(Unsized {
                etag: meta.etag,
                last_modified: meta.last_modified,
                pieces,
            }));
        }
        let meta = Meta { size: start.len() as u64, ..meta };
        let Some(range) = span.within(meta.size) else { return Err(StoreError::Unsatisfiable(meta)) };
        let place = |at: u64| usize::try_from(at).unwrap_or_default();
        let bytes = start.slice(place(range.start)..place(range.end));
        let chunks = Chunks::of_bytes(Arc::clone(self.source), self.path.clone(), bytes);
        Ok(Opened::Sized(Object { meta, range, chunks }))
    }

    /// All bytes of the object as the store has them.
    async fn stored(&self, result: GetResult) -> Result<ByteStream, StoreError> {
        let stall = self.source.timeouts.stall;
        let Some(unframed) = result.extensions.get::<UnsizedBody>() else {
            let whole = 0..result.meta.size;
            let chunks = Chunks::start(Arc::clone(self.source), self.path.clone(), result, whole).await?;
            return Ok(Box::pin(chunks.into_stream()));
        };
        let (source, body) = (Arc::clone(self.source), unframed.take());
        Ok(Box::pin(stream::unfold((source, body), move |(source, mut body)| async move {
            let piece = match in_time(stall, body.next()).await {
                Ok(None) => return None,
                Ok(Some(piece)) => piece.map_err(StoreError::from),
                Err(error) => Err(error),
            };
            match &piece {
                Ok(_) => source.breaker.succeeded(),
                Err(error) => source.metrics.broke_off(error.reason()),
            }
            Some((piece, (source, body)))
        })))
    }

    /// The first bytes, and whether they are all. Once there are any, nobody waits for more than the first byte may take.
    async fn beginning_of(&self, pieces: &mut ByteStream) -> Result<(Bytes, bool), StoreError> {
        let (started, waited) = (RunningInstant::now(), self.source.timeouts.first_byte);
        let mut start = BytesMut::new();
        while start.len() <= READ_FOR_SIZE {
            let left = waited.saturating_sub(started.elapsed());
            match running::timeout(left, pieces.next()).await {
                Ok(Some(piece)) => start.extend_from_slice(&piece?),
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

/// Whether the store may have disliked the range: 416, an answer that contradicts itself (Azurite's to a range that begins far
/// behind the end), or anything that is said of a suffix, which not all stores know.
fn is_about_the_range(error: &StoreError, span: Span) -> bool {
    let suffix = matches!(span, Span::Last(_)) && matches!(error, StoreError::Withheld(_));
    suffix || matches!(error, StoreError::Broken(_)) || error.may_be_the_range()
}
