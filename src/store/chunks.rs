//! Streams an object's bytes: exactly the announced number, or an error. A broken body is resumed at its next byte
//! while the object is still the same version.

use std::fmt;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use object_store::GetResult;
use object_store::path::Path;

use super::error::StoreError;
use super::http::pipe::Pipe;
use super::local::file_slice::{self, FileSlice};
use super::meta::Validator;
use super::metrics::StoreOperation;
use super::object_body::ObjectBody;
use super::prefetch;
use super::source::{Source, in_time};
use crate::clock::running::{self, RunningInstant};

/// The pause before a broken body is resumed. It doubles up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The name of the next bytes in a timeout error.
const MORE: &str = "more bytes";

/// A pipe pays off if more than this many bytes of a body remain.
const PIPE_LEAST: u64 = 64 * 1024;

/// The next bytes of an object.
#[derive(Debug)]
pub enum Transfer {
    /// In memory.
    Read(Bytes),
    /// Bytes in memory, if any, followed by this many bytes in a pipe. The caller must empty the pipe before it asks
    /// for more, or drop everything.
    Piped(Bytes, Arc<Pipe>, usize),
}

impl Transfer {
    /// The number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Read(bytes) => bytes.len() as u64,
            Self::Piped(start, _, length) => (start.len() + length) as u64,
        }
    }
}

/// A stream of exactly the announced length: it yields an error instead of ending early or exceeding it. It reads only
/// when polled, so a stalled client holds one chunk.
pub struct Chunks {
    source: Arc<Source>,
    path: Path,
    version: Option<Validator>,
    first: Option<Bytes>,
    rest: ObjectBody,
    /// The position of the next byte of `rest`, and the position after its last byte.
    at: u64,
    end: u64,
    /// Set if an attempt has failed since the last byte.
    retry: Option<Box<RetryState>>,
}

/// What a body yields: `None` at its end.
type Received = Option<Result<Bytes, StoreError>>;

/// Consecutive failures without a byte between them.
struct RetryState {
    since: RunningInstant,
    tries: u32,
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("owed", &self.owed()).finish_non_exhaustive()
    }
}

impl Chunks {
    /// Starts to read and waits for the first chunk.
    pub(super) async fn start(
        source: Arc<Source>,
        path: Path,
        result: GetResult,
        wanted: Range<u64>,
    ) -> Result<Self, StoreError> {
        let version = Validator::of(&result);
        let (at, end) = (wanted.start, wanted.end);
        let begun = result.range.end;
        let mut rest = ObjectBody::of(result);
        if begun < end
            && let Some(version) = &version
        {
            let follows = prefetch::rest(&source, &path, version, begun..end);
            rest = ObjectBody::Stream(Box::pin(rest.into_stream().chain(follows)), None);
        }
        let mut chunks = Self { source, path, version, first: None, rest, at, end, retry: None };
        if at < end {
            chunks.first = chunks.first_chunk().await?;
        }
        Ok(chunks)
    }

    /// Bytes in memory.
    pub(super) fn of_bytes(source: Arc<Source>, path: Path, bytes: Bytes) -> Self {
        let first = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { source, path, version: None, first, rest: ObjectBody::empty(), at: 0, end: 0, retry: None }
    }

    /// Waits for the first chunk, including retries, within the first-byte timeout: the client has no response yet. A
    /// long file may be sent without being read, so its beginning only needs to be in the page cache.
    async fn first_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let started = Instant::now();
        let is_file = matches!(self.rest, ObjectBody::File(_));
        // A store sends the first bytes with the head of its response.
        let arrived = if is_file { None } else { self.rest.next().now_or_never() };
        let first = match arrived {
            Some(Some(Ok(chunk))) if self.is_wanted(&chunk) => {
                self.arrived(chunk.len());
                Ok(Some(chunk))
            }
            arrived => Box::pin(self.await_first_chunk(arrived)).await,
        };
        let reason = first.as_ref().err().map(StoreError::reason);
        self.source.metrics.answered(StoreOperation::FirstChunk, started.elapsed(), reason);
        if first.as_ref().is_err_and(StoreError::is_store_failure) {
            self.source.failed();
        }
        first
    }

    async fn await_first_chunk(&mut self, arrived: Option<Received>) -> Result<Option<Bytes>, StoreError> {
        let started = Instant::now();
        let waited = self.source.timeouts.first_byte;
        let first = async {
            match &self.rest {
                ObjectBody::File(slice) if slice.owed() > file_slice::CHUNK => {
                    let beginning = self.at..self.at + 1;
                    if !slice.is_in_memory(&beginning, started) {
                        slice.load(beginning).await?;
                    }
                    Ok(None)
                }
                _ => self.next_chunk(arrived).await.map(Some),
            }
        };
        in_time(waited, "the first bytes", pin!(first)).await.and_then(|first| first)
    }

    /// Whether these are some of the announced bytes.
    fn is_wanted(&self, chunk: &Bytes) -> bool {
        !chunk.is_empty() && chunk.len() as u64 <= self.end - self.at
    }

    /// The number of remaining bytes.
    #[must_use]
    pub fn owed(&self) -> u64 {
        (self.end - self.at) + self.first.as_ref().map_or(0, |first| first.len() as u64)
    }

    /// The next chunk; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.at == self.end {
            return None;
        }
        Some(self.next_chunk(None).await.map_err(|error| self.broke_off(error)))
    }

    /// Ends the body after an error.
    fn broke_off(&mut self, error: StoreError) -> StoreError {
        self.source.metrics.broke_off(error.reason());
        self.at = self.end;
        error
    }

    /// Counts received bytes.
    fn arrived(&mut self, bytes: usize) {
        self.at += bytes as u64;
        self.retry = None;
        self.source.breaker.succeeded();
    }

    /// Takes the rest, if all of it is in memory.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        self.first.take_if(|_| self.at == self.end)
    }

    /// Takes the file, if none of its bytes has been read, for a caller that can send files. No bytes remain here then.
    pub fn take_file(&mut self) -> Option<FileSlice> {
        let owed = self.end - self.at;
        let unread = self.first.is_none() && owed > 0;
        match std::mem::replace(&mut self.rest, ObjectBody::empty()) {
            ObjectBody::File(slice) if unread && slice.owed() == owed => {
                self.at = self.end;
                Some(slice)
            }
            other => {
                self.rest = other;
                None
            }
        }
    }

    /// Whether the remaining bytes can go through a pipe, and are enough for that to pay off.
    #[must_use]
    pub fn can_be_piped(&self) -> bool {
        self.rest.can_be_piped(self.end - self.at, PIPE_LEAST)
    }

    /// Returns the next bytes, through a pipe if possible, for a caller that need not read them. `None` at the end.
    pub async fn next_transfer(&mut self) -> Option<Result<Transfer, StoreError>> {
        let waited = self.source.timeouts.stall;
        while self.can_be_piped() {
            let Some((raw, pipe)) = self.rest.pipe() else { break };
            let filled = match &self.first {
                None => in_time(waited, MORE, pin!(raw.fill(&pipe))).await.and_then(|filled| Ok(filled?)),
                // Bytes in memory go first, together with bytes that have already arrived.
                Some(_) => match raw.fill(&pipe).now_or_never() {
                    Some(Ok(length)) => Ok(length),
                    // The next read reports a failure again.
                    _ => break,
                },
            };
            match filled {
                Ok(length) => {
                    self.arrived(length);
                    let start = self.first.take().unwrap_or_default();
                    return Some(Ok(Transfer::Piped(start, pipe, length)));
                }
                Err(error) => {
                    if let Err(error) = Box::pin(self.resume(error)).await {
                        return Some(Err(self.broke_off(error)));
                    }
                }
            }
        }
        self.next().await.map(|chunk| chunk.map(Transfer::Read))
    }

    /// The remaining bytes as a stream of [`Chunks::next_transfer`].
    pub fn into_transfers(self) -> impl Stream<Item = Result<Transfer, StoreError>> + Send {
        stream::unfold(self, |mut chunks| async move {
            chunks.next_transfer().await.map(|transfer| (transfer, chunks))
        })
    }

    /// The remaining bytes as a stream of [`Chunks::next`].
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
        stream::unfold(self, |mut chunks| async move { chunks.next().await.map(|chunk| (chunk, chunks)) })
    }

    /// Waits for the next chunk, unless one has `arrived`, and retries as often as the settings allow.
    async fn next_chunk(&mut self, mut arrived: Option<Received>) -> Result<Bytes, StoreError> {
        loop {
            match self.receive(arrived.take()).await {
                Ok(chunk) => {
                    self.arrived(chunk.len());
                    return Ok(chunk);
                }
                Err(error) => Box::pin(self.resume(error)).await?,
            }
        }
    }

    async fn receive(&mut self, mut arrived: Option<Received>) -> Result<Bytes, StoreError> {
        let waited = self.source.timeouts.stall;
        loop {
            let received = match arrived.take() {
                Some(received) => received,
                None => in_time(waited, MORE, pin!(self.rest.next())).await?,
            };
            let Some(chunk) = received else {
                return Err(StoreError::broken("it ended the object before its announced length"));
            };
            let chunk = chunk?;
            if self.is_wanted(&chunk) {
                return Ok(chunk);
            }
            if !chunk.is_empty() {
                return Err(StoreError::broken("it sent more than the announced length"));
            }
        }
    }

    /// Reopens the rest of the same object. The limits on attempts and time count from the last received byte, so an
    /// hour-long slow download gets as much of both as a fast one.
    async fn resume(&mut self, error: StoreError) -> Result<(), StoreError> {
        let timeouts = self.source.timeouts;
        // Without a validator, the rest could belong to another version.
        let Some(version) = self.version.clone() else { return Err(error) };
        let mut error = error;
        loop {
            let retry = self
                .retry
                .get_or_insert_with(|| Box::new(RetryState { since: RunningInstant::now(), tries: 0 }));
            let left = timeouts.resume_timeout.saturating_sub(retry.since.elapsed());
            if !error.may_pass() || retry.tries >= timeouts.resume_tries || left.is_zero() {
                return Err(error);
            }
            let pause = pause_before(retry.tries).min(left);
            // Waiting for a store that is down does not count as an attempt.
            if self.source.breaker.is_closed() {
                retry.tries += 1;
            }
            tokio::time::sleep(pause).await;
            let _ = running::timeout(left.saturating_sub(pause), self.source.breaker.closed()).await;
            let wanted = self.at..self.end;
            let body = ObjectBody::reopen(&self.source, StoreOperation::Resume, &self.path, &version, wanted);
            match body.await {
                Ok(rest) => {
                    self.rest = rest;
                    self.source.metrics.resumed();
                    tracing::debug!(at = self.at, "resumed a broken body");
                    return Ok(());
                }
                Err(next) => error = next,
            }
        }
    }
}

/// The pause doubles with each attempt, with jitter, so that downloads do not retry simultaneously.
fn pause_before(tries: u32) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    let full = FIRST_PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
    full / 2 + full.mul_f64(f64::from(random[0]) / 512.0)
}
