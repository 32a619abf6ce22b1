//! Compresses transcripts on the threads of the [worker pool](super::worker_pool). A long transcript takes tens of
//! milliseconds; on a serving thread this would block all of its connections. Memory for encoders and queued jobs is
//! limited, in total and per address. If none is free, the transcript is sent uncompressed.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;

use async_compression::codecs::EncodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};
use bytes::{Buf, Bytes};
use futures_util::{FutureExt, StreamExt, stream};

use super::encoding::Coding;
use super::worker_pool::{self, SCRATCH, Work};
use crate::server::{Limiter, Permit};
use crate::store::{ByteStream, StoreError};
use crate::tasks::Task;

/// The number of input bytes per step: about half a millisecond of brotli.
const STEP: usize = 64 * 1024;
/// The number of input bytes per job for a long transcript. A job has an overhead of a few microseconds.
const BATCH: usize = 4 * STEP;
/// Transcripts up to this many bytes are compressed on the serving thread: queueing a job would take longer.
const INLINE: u64 = 8 * 1024;
/// The memory of one encoder, in KiB.
const ENCODER: usize = 2 * 1024;

/// Compresses within a memory limit, which clones share.
#[derive(Debug, Clone)]
pub(super) struct Compressor {
    memory: Limiter,
}

impl Compressor {
    /// A compressor that takes its memory from `memory`, in KiB.
    pub(super) fn new(memory: Limiter) -> Self {
        Self { memory }
    }

    /// Reserves memory to compress a transcript of `size` bytes for a client at `address`: as a `whole`, or while it is
    /// sent.
    pub(super) fn reserve(&self, size: u64, whole: bool, address: Option<IpAddr>) -> Option<Permit> {
        let waits = usize::try_from(size / 1024).unwrap_or(usize::MAX).saturating_add(1);
        // A short transcript needs memory for its bytes while it is queued, and no encoder yet.
        let kibibytes = if whole { waits } else { ENCODER };
        self.memory.acquire_weighted(address, kibibytes).ok()
    }

    /// Compresses a whole transcript of `length` bytes.
    pub(super) async fn whole(
        &self,
        coding: Coding,
        length: u64,
        mut pieces: ByteStream,
        memory: Permit,
    ) -> Result<Bytes, StoreError> {
        let mut work = Compression::new(coding, memory);
        while let Some(piece) = pieces.next().await {
            work.input.push_back(piece?);
        }
        work.ends = true;
        if length <= INLINE {
            let mut buffer = vec![0; SCRATCH];
            while !work.step(&mut buffer)? {}
            return Ok(work.take_output());
        }
        Ok(worker_pool::run(work).await?.take_output())
    }

    /// Compresses a transcript chunk by chunk, as fast as the body is read. Memory use does not grow with the object.
    pub(super) fn pieces(&self, coding: Coding, pieces: ByteStream, memory: Permit) -> ByteStream {
        let long = Long { pieces, work: Compression::new(coding, memory) };
        Box::pin(stream::try_unfold(Some(long), |long| async {
            let Some(mut long) = long else { return Ok(None) };
            loop {
                long.gather().await?;
                long.work = worker_pool::run(long.work).await?;
                let (output, ended) = (long.work.take_output(), long.work.ends);
                // Some encoders produce no output until they have read a lot of input.
                if ended || !output.is_empty() {
                    return Ok(Some((output, (!ended).then_some(long))));
                }
            }
        }))
    }
}

/// A long transcript that is compressed while it is sent.
struct Long {
    pieces: ByteStream,
    work: Compression,
}

impl Long {
    /// Waits for the next chunk, then also takes chunks that have already arrived.
    async fn gather(&mut self) -> Result<(), StoreError> {
        let mut next = Some(self.pieces.next().await);
        let mut length = 0;
        while let Some(chunk) = next {
            let Some(chunk) = chunk.transpose()? else {
                self.work.ends = true;
                return Ok(());
            };
            length += chunk.len();
            self.work.input.push_back(chunk);
            next = if length < BATCH { self.pieces.next().now_or_never() } else { None };
        }
        Ok(())
    }
}

/// A transcript that is being compressed.
struct Compression {
    coding: Coding,
    encoder: Option<Box<dyn EncodeV2 + Send>>,
    input: VecDeque<Bytes>,
    /// Whether the input is complete.
    ends: bool,
    output: Vec<u8>,
    memory: Permit,
}

impl Compression {
    fn new(coding: Coding, memory: Permit) -> Self {
        Self { coding, encoder: None, input: VecDeque::new(), ends: false, output: Vec::new(), memory }
    }

    fn take_output(&mut self) -> Bytes {
        std::mem::take(&mut self.output).into()
    }
}

impl Work for Compression {
    const TASK: Task = Task::Compression;

    fn network(&self) -> Option<IpAddr> {
        self.memory.network()
    }

    /// Compresses a part of the input. Returns whether it was the last part.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(self.coding.encoder()?),
        };
        let mut left = STEP;
        while let Some(piece) = self.input.front_mut() {
            let mut input = PartialBuffer::new(piece.get(..piece.len().min(left)).unwrap_or_default());
            while !input.unwritten().is_empty() {
                let mut room = WriteBuffer::new_initialized(buffer);
                encoder.encode(&mut input, &mut room)?;
                self.output.extend_from_slice(room.written());
            }
            let taken = input.written_len();
            left -= taken;
            piece.advance(taken);
            if piece.is_empty() {
                self.input.pop_front();
            }
            if left == 0 && !self.input.is_empty() {
                return Ok(false);
            }
        }
        let mut finished = !self.ends;
        while !finished {
            let mut room = WriteBuffer::new_initialized(buffer);
            finished = encoder.finish(&mut room)?;
            self.output.extend_from_slice(room.written());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::worker_pool::MEMORY;

    fn compressor() -> Compressor {
        Compressor::new(Limiter::new(MEMORY, None))
    }

    #[tokio::test]
    async fn what_is_compressed_in_steps_is_one_stream() {
        use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
        use tokio::io::AsyncReadExt;

        let text: Vec<u8> =
            (0..400_000_u32).map(|at| b'a' + (at.wrapping_mul(2_654_435_761) >> 29) as u8).collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let compressor = compressor();
            let mut work = Compression::new(coding, compressor.reserve(400_000, true, None).unwrap());
            work.input = text.chunks(90_001).map(Bytes::copy_from_slice).collect();
            work.ends = true;
            let output = worker_pool::run(work).await.unwrap().take_output();
            assert!(output.len() < text.len());
            let mut decoded = Vec::new();
            match coding {
                Coding::Brotli => BrotliDecoder::new(&output[..]).read_to_end(&mut decoded).await,
                Coding::Zstd => ZstdDecoder::new(&output[..]).read_to_end(&mut decoded).await,
                _ => GzipDecoder::new(&output[..]).read_to_end(&mut decoded).await,
            }
            .unwrap();
            assert!(decoded == text, "{coding:?}");
        }
    }

    #[test]
    fn one_address_leaves_memory_for_the_transcripts_of_others() {
        let compressor = compressor();
        let reserve = |address: &str| compressor.reserve(50 << 20, false, address.parse().ok());
        let held: Vec<_> = std::iter::from_fn(|| reserve("192.0.2.1")).collect();
        assert_eq!(held.len(), 64);
        assert!(reserve("192.0.2.2").is_some());
        assert!(compressor.reserve(1 << 20, true, "192.0.2.1".parse().ok()).is_none(), "it has its share");
    }
}
