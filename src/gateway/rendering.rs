//! Renders transcripts as text, captions or Markdown. A rendering needs the whole transcript in memory, so there is a
//! limit on its size, and memory is taken from what an address may hold of the worker pool's, until the last byte is
//! sent. A long transcript is rendered on the threads of the pool.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use super::multipart::{self, Multipart};
use super::outcome::{ObjectInfo, Payload, Rejection};
use super::range;
use super::worker_pool::{self, Work};
use crate::asset::TranscriptFormat;
use crate::clock::{UnixSeconds, running};
use crate::server::{Limiter, Permit};
use crate::store::{ByteStream, Opened, Span, StoreError};
use crate::tasks::Task;
use crate::transcript::{self, LARGEST_RENDERING, RENDERED_SINCE, RenderError};

/// The largest transcript that is rendered, in bytes: with the times of every word, some five hours of speech.
const LARGEST: u64 = 8 << 20;

/// Transcripts up to this many bytes are rendered on the serving thread, in less than a tenth of a millisecond. The largest
/// one takes 20 to 80 ms.
const INLINE: usize = 32 * 1024;

/// The memory that rendering takes at most, in bytes for each byte of the transcript: its text, what is read from it, and
/// the rendering while it grows.
const MEMORY_PER_BYTE: u64 = 8;

/// How long the store may take for the whole transcript. The client has no answer before.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// When the rendering of an object was last modified: with the object, or with this version of the renderings. A store
/// without a date reports 1970.
pub(super) fn last_modified(object: UnixSeconds) -> UnixSeconds {
    if object == UnixSeconds(0) { object } else { object.max(UnixSeconds(RENDERED_SINCE)) }
}

/// Renders within a memory limit, which clones share.
#[derive(Debug, Clone)]
pub(super) struct Renderer {
    memory: Limiter,
}

impl Renderer {
    /// A renderer that takes its memory from `memory`, in KiB.
    pub(super) fn new(memory: Limiter) -> Self {
        Self { memory }
    }

    /// Renders an opened transcript for a client at `address`. The memory of the rendering counts until its bytes are
    /// dropped.
    pub(super) async fn render(
        &self,
        opened: Opened,
        format: TranscriptFormat,
        address: Option<IpAddr>,
    ) -> Result<Bytes, Rejection> {
        let size = opened.size().unwrap_or(LARGEST);
        if size > LARGEST {
            return Err(Rejection::NotRendered(RenderError::TooLarge));
        }
        let memory = self.memory.acquire_weighted(address, kibibytes(size.saturating_mul(MEMORY_PER_BYTE)));
        let memory = memory.map_err(Rejection::Busy)?;
        let (_, pieces) = ObjectInfo::and_pieces(opened);
        let reading = running::timeout(READ_TIMEOUT, Box::pin(read(pieces, size)));
        let late = StoreError::TimedOut { waited: READ_TIMEOUT, for_what: "the whole transcript" };
        let json = reading.await.unwrap_or(Err(Rejection::StoreFailed(late)))?;
        let mut work = Rendering { json, format, result: None, memory };
        if work.json.len() <= INLINE {
            work.render();
        } else {
            work = worker_pool::run(work).await.map_err(Rejection::StoreFailed)?;
        }
        work.finish()
    }
}

fn kibibytes(bytes: u64) -> usize {
    usize::try_from(bytes / 1024).unwrap_or(usize::MAX).saturating_add(1)
}

/// Reads a transcript of `size` bytes, or of at most the largest size if that is not known.
async fn read(mut pieces: ByteStream, size: u64) -> Result<Vec<u8>, Rejection> {
    let mut json = Vec::with_capacity(usize::try_from(size).unwrap_or_default().min(64 * INLINE));
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(Rejection::StoreFailed)?;
        if (json.len() + piece.len()) as u64 > LARGEST {
            return Err(Rejection::NotRendered(RenderError::TooLarge));
        }
        json.extend_from_slice(&piece);
    }
    Ok(json)
}

/// Returns the requested ranges of a rendering, and the range if it is one.
pub(super) fn ranges(
    text: &Bytes,
    spans: &[Span],
    media_type: &'static str,
) -> Result<(Option<Range<u64>>, Payload), Rejection> {
    let size = text.len() as u64;
    let ranges = range::coalesce(spans, size);
    match ranges.as_slice() {
        [] => Err(Rejection::Unsatisfiable { size }),
        [range] => Ok((Some(range.clone()), Payload::Read(multipart::slice(text, range)))),
        _ if multipart::length_of(media_type, &ranges, size) > size => {
            Ok((None, Payload::Read(text.clone())))
        }
        _ => {
            let parts = Multipart::of_bytes(media_type, text.clone(), ranges);
            Ok((None, Payload::Multipart(Box::new(parts))))
        }
    }
}

/// A transcript that is being rendered.
struct Rendering {
    json: Vec<u8>,
    format: TranscriptFormat,
    result: Option<Result<String, RenderError>>,
    memory: Permit,
}

impl Rendering {
    fn render(&mut self) {
        let json = std::mem::take(&mut self.json);
        self.result = Some(transcript::render(&json, self.format));
    }

    fn finish(self) -> Result<Bytes, Rejection> {
        let Self { result, mut memory, .. } = self;
        let mut text = result.unwrap_or(Err(RenderError::TooLarge)).map_err(Rejection::NotRendered)?;
        text.shrink_to_fit();
        memory.shrink(kibibytes(text.len() as u64));
        Ok(Bytes::from_owner(Rendered { text, _memory: memory }))
    }
}

impl Work for Rendering {
    const TASK: Task = Task::Rendering;

    fn network(&self) -> Option<IpAddr> {
        self.memory.network()
    }

    fn step(&mut self, _: &mut [u8]) -> io::Result<bool> {
        self.render();
        Ok(true)
    }
}

/// A rendering, which holds its memory's permit as long as its bytes are in use.
struct Rendered {
    text: String,
    _memory: Permit,
}

impl AsRef<[u8]> for Rendered {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

// A rendering fits into the memory that its transcript has reserved, or into that of the largest one.
const _: () = assert!(LARGEST_RENDERING as u64 <= LARGEST * MEMORY_PER_BYTE);

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::server::LimitReached;
    use crate::store::Unsized;

    const SAMPLE: &[u8] =
        include_bytes!("../../fixtures/transcripts/550e8400-e29b-41d4-a716-446655440000.json");

    /// An opened object that yields these pieces.
    fn opened(pieces: ByteStream) -> Opened {
        Opened::Unsized(Unsized { etag: "\"a\"".to_owned(), last_modified: UnixSeconds(1), pieces })
    }

    fn sample() -> Opened {
        opened(Box::pin(stream::iter(SAMPLE.chunks(1_000).map(|piece| Ok(piece.into())))))
    }

    #[tokio::test]
    async fn an_address_that_holds_its_share_waits_and_others_do_not() {
        let memory = Limiter::new(worker_pool::MEMORY, None);
        let renderer = Renderer::new(memory.clone());
        let (greedy, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let held = memory.acquire_weighted(greedy, worker_pool::MEMORY / 2).unwrap();
        let refused = renderer.render(sample(), TranscriptFormat::Text, greedy).await;
        assert!(matches!(refused, Err(Rejection::Busy(LimitReached::Address))));
        assert!(renderer.render(sample(), TranscriptFormat::Text, other).await.is_ok());
        drop(held);
        assert!(renderer.render(sample(), TranscriptFormat::Text, greedy).await.is_ok());
    }

    #[tokio::test]
    async fn a_rendering_holds_its_own_memory_alone_until_its_bytes_are_dropped() {
        let memory = Limiter::new(worker_pool::MEMORY, None);
        let renderer = Renderer::new(memory.clone());
        let free = || memory.acquire_weighted(None, worker_pool::MEMORY - 2).is_ok();
        let text = renderer.render(sample(), TranscriptFormat::Text, None).await.unwrap();
        assert!(free(), "two KiB are held");
        let part = text.slice(10..20);
        drop(text);
        assert!(memory.acquire_weighted(None, worker_pool::MEMORY).is_err(), "a part holds all of it");
        drop(part);
        assert!(memory.acquire_weighted(None, worker_pool::MEMORY).is_ok());
    }

    #[tokio::test]
    async fn a_long_transcript_is_rendered_as_a_short_one() {
        let renderer = Renderer::new(Limiter::new(worker_pool::MEMORY, None));
        let text = renderer.render(sample(), TranscriptFormat::WebVtt, None).await.unwrap();
        let spaces = stream::iter((0..INLINE / 1_000).map(|_| Ok(Bytes::from_static(&[b' '; 1_000]))));
        let long = stream::iter([Ok(Bytes::from_static(SAMPLE))]).chain(spaces);
        let rendered = renderer.render(opened(Box::pin(long)), TranscriptFormat::WebVtt, None).await;
        assert_eq!(rendered.unwrap(), text);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_comes_to_the_end_is_given_up() {
        let renderer = Renderer::new(Limiter::new(worker_pool::MEMORY, None));
        let drips = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(Bytes::from_static(b" ")), ()))
        });
        let late = renderer.render(opened(Box::pin(drips)), TranscriptFormat::Text, None).await;
        assert!(matches!(late, Err(Rejection::StoreFailed(StoreError::TimedOut { .. }))));
    }

    #[tokio::test]
    async fn a_transcript_of_unknown_length_is_read_up_to_the_limit() {
        let renderer = Renderer::new(Limiter::new(worker_pool::MEMORY, None));
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[b' '; 64 * 1024])));
        let refused = renderer.render(opened(Box::pin(endless)), TranscriptFormat::Text, None).await;
        assert!(matches!(refused, Err(Rejection::NotRendered(RenderError::TooLarge))));
    }
}
