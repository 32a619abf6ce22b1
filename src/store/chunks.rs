//! The bytes of an object, chunk by chunk: exactly as many as were announced, or an error. A body that breaks is taken
//! up again from the next byte, as long as it still is the same object.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload};

use super::catch_panic::catch_panics;
use super::error::StoreError;
use super::http::pipe::Pipe;
use super::http::plain_http::RawBody;
use super::http::response;
use super::http::response::UnsizedBody;
use super::local::file_slice::{self, ContentVersion, FileSlice};
use super::metrics::StoreOperation;
use super::prefetch;
use super::source::Source;
use super::validator::Validator;
use crate::clock::running::{self, RunningInstant};

/// The first pause before a body is taken up again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Bytes, piece by piece, or what went wrong.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// How much has to be left of a body for a pipe to be worth its trouble, in bytes.
const LONG: u64 = 64 * 1024;

/// What is handed on of an object.
#[derive(Debug)]
pub enum Transfer {
    /// Bytes.
    Read(Bytes),
    /// Bytes, if any, and so many more behind them, which wait in a pipe. It is empty again before more is asked for, or
    /// all of it is given up.
    Piped(Bytes, Arc<Pipe>, usize),
}

impl Transfer {
    /// How many bytes it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Read(bytes) => bytes.len() as u64,
            Self::Piped(start, _, length) => (start.len() + length) as u64,
        }
    }
}

/// A stream of bytes that is as long as promised: it yields an error rather than end short or run over. It reads
/// only when polled, so a stalled reader holds one chunk and no more.
pub struct Chunks {
    source: Arc<Source>,
    path: Path,
    version: Option<Validator>,
    first: Option<Bytes>,
    rest: Rest,
    /// The position of the next byte of `rest`, and the one behind the last.
    at: u64,
    end: u64,
    /// What went wrong since the last byte that arrived.
    retry: Option<Box<RetryState>>,
}

/// Failures without a byte between them.
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
        let mut rest = Rest::of(result);
        if begun < end
            && let Some(version) = &version
        {
            let follows = prefetch::rest(&source, &path, version, begun..end);
            rest = Rest::Stream(Box::pin(rest.into_pieces().chain(follows)), None);
        }
        let mut chunks = Self { source, path, version, first: None, rest, at, end, retry: None };
        if at < end {
            chunks.first = chunks.first_chunk().await?;
        }
        Ok(chunks)
    }

    /// Bytes that are here already.
    pub(super) fn of_bytes(source: Arc<Source>, path: Path, bytes: Bytes) -> Self {
        let first = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { source, path, version: None, first, rest: Rest::nothing(), at: 0, end: 0, retry: None }
    }

    /// The first chunk, resumptions included, has the deadline of the first byte: the client has no answer yet. A long
    /// file may be sent without being read, so the kernel's having its beginning is enough.
    async fn first_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let started = Instant::now();
        let waited = self.source.timeouts.first_byte;
        let first = async {
            match &self.rest {
                Rest::File(slice) if slice.owed() > file_slice::CHUNK => {
                    let beginning = self.at..self.at + 1;
                    if !slice.is_in_memory(&beginning, std::time::Instant::now()) {
                        slice.load(beginning).await?;
                    }
                    Ok(None)
                }
                _ => self.next_owed().await.map(Some),
            }
        };
        let first = running::timeout(waited, first).await;
        let first = first.unwrap_or(Err(StoreError::TimedOut { waited, for_what: "the first bytes" }));
        let reason = first.as_ref().err().map(StoreError::reason);
        self.source.metrics.answered(StoreOperation::FirstChunk, started.elapsed(), reason);
        if first.as_ref().is_err_and(StoreError::is_store_failure) {
            self.source.failed();
        }
        first
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn owed(&self) -> u64 {
        (self.end - self.at) + self.first.as_ref().map_or(0, |first| first.len() as u64)
    }

    /// The next chunk; `None` once everything promised was delivered.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.at == self.end {
            return None;
        }
        Some(self.next_owed().await.map_err(|error| self.broke_off(error)))
    }

    /// Nothing follows any more.
    fn broke_off(&mut self, error: StoreError) -> StoreError {
        self.source.metrics.broke_off(error.reason());
        self.at = self.end;
        error
    }

    /// So many bytes have.
    fn arrived(&mut self, bytes: usize) {
        self.at += bytes as u64;
        self.retry = None;
        self.source.breaker.succeeded();
    }

    /// The file that these are bytes of, if none of them was read: whoever can send a file need not read it. Nothing is
    /// left here then.
    pub fn take_file(&mut self) -> Option<FileSlice> {
        let owed = self.end - self.at;
        let unread = self.first.is_none() && owed > 0;
        match &self.rest {
            Rest::File(slice) if unread && slice.owed() == owed => {
                self.at = self.end;
                match std::mem::replace(&mut self.rest, Rest::nothing()) {
                    Rest::File(slice) => Some(slice),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether what follows can go through a pipe, and is long enough for that.
    #[must_use]
    pub fn can_be_piped(&self) -> bool {
        let owed = self.end - self.at;
        match &self.rest {
            Rest::Stream(_, Some(raw)) => owed > LONG && raw.holds(owed),
            Rest::Piped(raw, _) => raw.holds(owed),
            _ => false,
        }
    }

    /// What comes next, in a pipe where it can be, for whoever has no need to read it; `None` at the end.
    pub async fn next_transfer(&mut self) -> Option<Result<Transfer, StoreError>> {
        let waited = self.source.timeouts.stall;
        while self.can_be_piped() {
            let Some((raw, pipe)) = self.rest.through_pipe() else { break };
            let filled = match &self.first {
                None => in_time(waited, raw.fill(&pipe)).await.and_then(|filled| Ok(filled?)),
                // What is here already goes along; nobody waits for more.
                Some(_) => match raw.fill(&pipe).now_or_never() {
                    Some(Ok(length)) => Ok(length),
                    // If that has failed, so will the next.
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
                    if let Err(error) = self.resume(error).await {
                        return Some(Err(self.broke_off(error)));
                    }
                }
            }
        }
        self.next().await.map(|chunk| chunk.map(Transfer::Read))
    }

    /// All that is left as a stream of what [`Chunks::pass`] yields.
    pub fn into_transfers(self) -> impl Stream<Item = Result<Transfer, StoreError>> + Send {
        stream::unfold(self, |mut chunks| async move {
            chunks.next_transfer().await.map(|transfer| (transfer, chunks))
        })
    }

    /// All that is left as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
        stream::unfold(self, |mut chunks| async move { chunks.next().await.map(|chunk| (chunk, chunks)) })
    }

    /// Waits for a chunk that is owed, through as many setbacks as timeouts allows.
    async fn next_owed(&mut self) -> Result<Bytes, StoreError> {
        loop {
            match self.next_piece().await {
                Ok(piece) => {
                    self.arrived(piece.len());
                    return Ok(piece);
                }
                Err(error) => self.resume(error).await?,
            }
        }
    }

    async fn next_piece(&mut self) -> Result<Bytes, StoreError> {
        let waited = self.source.timeouts.stall;
        loop {
            let Some(piece) = in_time(waited, self.rest.next()).await? else {
                return Err(StoreError::broken("it ended the object before its announced length"));
            };
            let piece = piece?;
            if piece.len() as u64 > self.end - self.at {
                return Err(StoreError::broken("it sent more than the announced length"));
            }
            if !piece.is_empty() {
                return Ok(piece);
            }
        }
    }

    /// Opens the rest of the same object anew. Tries and time count from the last byte that arrived, so a slow
    /// download of an hour has as much of both as a fast one.
    async fn resume(&mut self, error: StoreError) -> Result<(), StoreError> {
        let timeouts = self.source.timeouts;
        // Nothing would tell whether what follows belongs to what was sent.
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
            // Waiting for a store that is down is not trying.
            if self.source.breaker.is_closed() {
                retry.tries += 1;
            }
            tokio::time::sleep(pause).await;
            let _ = running::timeout(left.saturating_sub(pause), self.source.breaker.closed()).await;
            let wanted = self.at..self.end;
            let reopened = reopen(&self.source, StoreOperation::Resume, &self.path, &version, wanted).await;
            match reopened {
                Ok(rest) => {
                    self.rest = rest;
                    self.source.metrics.resumed();
                    tracing::debug!(at = self.at, "a body that broke was taken up again");
                    return Ok(());
                }
                Err(next) => error = next,
            }
        }
    }
}

/// What arrives in time. The deadline runs only while this is polled: a slow reader never sets it off.
pub(super) async fn in_time<T>(waited: Duration, arriving: impl Future<Output = T>) -> Result<T, StoreError> {
    let arrived = running::timeout(waited, arriving).await;
    arrived.map_err(|_| StoreError::TimedOut { waited, for_what: "more bytes" })
}

/// The bytes `wanted`, if it still is the same object. Its tag is compared here: some stores ignore If-Match, and a tag
/// that was made here matches nothing there.
async fn reopen(
    source: &Arc<Source>,
    operation: StoreOperation,
    path: &Path,
    version: &Validator,
    wanted: Range<u64>,
) -> Result<Rest, StoreError> {
    let range = Some(GetRange::Bounded(wanted.clone()));
    let options = GetOptions::new().with_range(range).with_extensions(response::for_object());
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
    Ok(Rest::of(result))
}

/// The same as a stream.
pub(super) async fn reopen_stream(
    source: &Arc<Source>,
    operation: StoreOperation,
    path: &Path,
    version: &Validator,
    wanted: Range<u64>,
) -> Result<ByteStream, StoreError> {
    Ok(reopen(source, operation, path, version, wanted).await?.into_pieces())
}

/// Twice as long each time, and not in step with other downloads.
fn pause_before(tries: u32) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    let full = FIRST_PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
    // Between half and all of it.
    full / 2 + full.mul_f64(f64::from(random[0]) / 512.0)
}

/// What the store answered with.
enum Rest {
    File(FileSlice),
    /// With a raw, its bytes need not be read.
    Stream(ByteStream, Option<RawBody>),
    /// They are not. The stream has ended with that: it would take up in the wrong place what broke.
    Piped(RawBody, Arc<Pipe>),
}

impl Rest {
    fn of(result: GetResult) -> Self {
        let raw = result.extensions.get::<RawBody>().cloned();
        match result.payload {
            GetResultPayload::File(file, _) => {
                Self::File(FileSlice::new(file, result.range, ContentVersion::from(&result.meta)))
            }
            GetResultPayload::Stream(pieces) => {
                Self::Stream(Box::pin(catch_panics(pieces).map(|piece| piece.map_err(StoreError::from))), raw)
            }
        }
    }

    fn nothing() -> Self {
        Self::Stream(Box::pin(stream::empty()), None)
    }

    fn into_pieces(self) -> ByteStream {
        match self {
            Self::File(slice) => Box::pin(stream::unfold(slice, |mut slice| async move {
                slice.read().await.map(|chunk| (chunk, slice))
            })),
            Self::Stream(pieces, _) => pieces,
            Self::Piped(..) => Box::pin(stream::empty()),
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        match self {
            Self::File(slice) => slice.read().await,
            Self::Stream(pieces, _) => pieces.next().await,
            Self::Piped(..) => None,
        }
    }

    /// From now on through a pipe, if there is one to be had.
    fn through_pipe(&mut self) -> Option<(RawBody, Arc<Pipe>)> {
        if let Self::Stream(_, raw @ Some(_)) = self {
            // Whoever gets no pipe now reads to the end.
            let (raw, pipe) = (raw.take()?, Pipe::acquire()?);
            *self = Self::Piped(raw, Arc::new(pipe));
        }
        match self {
            Self::Piped(raw, pipe) => Some((raw.clone(), Arc::clone(pipe))),
            _ => None,
        }
    }
}
