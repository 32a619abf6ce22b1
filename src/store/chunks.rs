//! The bytes of an object, chunk by chunk: exactly as many as were announced, or an error.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::{GetResult, GetResultPayload};

use super::{Deadlines, StoreError};
use crate::telemetry::metrics::{Metrics, StoreOperation};

/// How much of a local file is read at a time, in bytes. A stalled client holds one such chunk.
const FILE_CHUNK: u64 = 64 * 1024;

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// A stream of bytes that is as long as promised: it yields an error rather than end short or run over. It reads
/// only when polled, so a stalled reader holds one chunk and no more.
pub struct Chunks {
    first: Option<Bytes>,
    rest: Pieces,
    /// What is still owed, in bytes, beyond `first`.
    owed: u64,
    deadline: Duration,
    metrics: Metrics,
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("owed", &self.owed()).finish_non_exhaustive()
    }
}

impl Chunks {
    /// Starts to read and waits for the first chunk.
    pub(super) async fn start(
        result: GetResult,
        deadlines: Deadlines,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let owed = result.range.end.saturating_sub(result.range.start);
        let rest: Pieces = match result.payload {
            GetResultPayload::File(file, _) => {
                Box::pin(read_file(file, result.range.start, result.range.end))
            }
            GetResultPayload::Stream(pieces) => Box::pin(pieces.map(|piece| piece.map_err(StoreError::from))),
        };
        let mut chunks = Self { first: None, rest, owed, deadline: deadlines.first_byte, metrics };
        if owed > 0 {
            let started = Instant::now();
            let first = chunks.next_owed().await;
            let reason = first.as_ref().err().map(StoreError::reason);
            chunks.metrics.store_answered(StoreOperation::FirstChunk, started.elapsed(), reason);
            chunks.first = Some(first?);
        }
        chunks.deadline = deadlines.stall;
        Ok(chunks)
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.owed + self.first.as_ref().map_or(0, |first| first.len() as u64)
    }

    /// The next chunk; `None` once everything promised was delivered.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.owed == 0 {
            return None;
        }
        let next = self.next_owed().await;
        if let Err(error) = &next {
            self.metrics.store_broke_off(error.reason());
            self.owed = 0;
        }
        Some(next)
    }

    /// All that is left as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
        stream::unfold(self, |mut chunks| async move { chunks.next().await.map(|chunk| (chunk, chunks)) })
    }

    /// Waits for a chunk that is owed. The deadline runs only while this is polled: a slow reader never sets it off.
    async fn next_owed(&mut self) -> Result<Bytes, StoreError> {
        loop {
            let piece = tokio::time::timeout(self.deadline, self.rest.next())
                .await
                .map_err(|_| StoreError::TimedOut { waited: self.deadline, for_what: "more bytes" })?;
            let Some(piece) = piece else {
                return Err(StoreError::broken("the store ended the object before its announced length"));
            };
            let piece = piece?;
            let length = piece.len() as u64;
            if length > self.owed {
                return Err(StoreError::broken("the store sent more than the announced length"));
            }
            if length > 0 {
                self.owed -= length;
                return Ok(piece);
            }
        }
    }
}

/// Reads positions `from..to` of a file with large reads in the blocking pool. (The crate's own stream reads 8 KiB a
/// hop, and never ends when the file has shrunk.)
fn read_file(file: File, from: u64, to: u64) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    let file = Arc::new(file);
    stream::try_unfold(from, move |at| {
        let file = Arc::clone(&file);
        async move {
            if at >= to {
                return Ok(None);
            }
            let want = usize::try_from((to - at).min(FILE_CHUNK)).unwrap_or_default();
            let read = tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; want];
                let count = file.read_at(&mut buffer, at)?;
                buffer.truncate(count);
                Ok::<_, std::io::Error>(buffer)
            });
            let buffer = read
                .await
                .map_err(|error| StoreError::Unavailable(Box::new(error)))?
                .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let next = at + buffer.len() as u64;
            Ok(Some((Bytes::from(buffer), next)))
        }
    })
}
