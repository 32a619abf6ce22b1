//! Compresses transcripts on separate threads. A long transcript takes tens of milliseconds; on a serving thread this
//! would block all of its connections.
//!
//! There are as many threads as cores. A job runs in steps, and addresses with queued jobs take turns: a client that
//! requests a hundred transcripts delays another client by one step per thread. The jobs of one address run one after
//! the other: each finds its encoder's tables in the processor's caches, and few encoders exist at once (the rows *gzip*,
//! *br* and *zstd*: a quarter less). Memory for encoders and queued jobs is limited, in total and per address. If none is
//! free, the transcript is sent uncompressed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use async_compression::codecs::EncodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};
use bytes::{Buf, Bytes};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::oneshot;

use super::encoding::Coding;
use crate::server::{Limiter, Permit};
use crate::store::{ByteStream, StoreError};
use crate::tasks::Task;

/// The number of input bytes per step: about half a millisecond of brotli.
const STEP: usize = 64 * 1024;
/// The number of input bytes per job for a long transcript. A job has an overhead of a few microseconds.
const BATCH: usize = 4 * STEP;
/// Transcripts up to this many bytes are compressed on the serving thread: queueing a job would take longer.
const INLINE: u64 = 8 * 1024;
/// The size of an encoder's output buffer, in bytes.
const OUTPUT_BUFFER: usize = 32 * 1024;

/// The memory limit for encoders and queued jobs, in KiB.
const MEMORY: usize = 256 * 1024;
/// The memory of one encoder, in KiB.
const ENCODER: usize = 2 * 1024;

/// The nice value of the threads (nice(2)): serving threads go first.
const NICE: i32 = 5;

/// The thread pool of the process.
static POOL: Pool = Pool { queue: Mutex::new(Queue::new()), not_empty: Condvar::new() };

/// Compresses within a memory limit, which clones share.
#[derive(Debug, Clone)]
pub(super) struct Compressor {
    memory: Limiter,
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self { memory: Limiter::new(MEMORY, None) }
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
        let mut work = Work::new(coding, memory);
        while let Some(piece) = pieces.next().await {
            work.input.push_back(piece?);
        }
        work.ends = true;
        if length <= INLINE {
            let mut buffer = vec![0; OUTPUT_BUFFER];
            while !work.step(&mut buffer)? {}
            return Ok(work.take_output());
        }
        Ok(POOL.run(work).await?.take_output())
    }

    /// Compresses a transcript chunk by chunk, as fast as the body is read. Memory use does not grow with the object.
    pub(super) fn pieces(&self, coding: Coding, pieces: ByteStream, memory: Permit) -> ByteStream {
        let long = Long { pieces, work: Work::new(coding, memory) };
        Box::pin(stream::try_unfold(Some(long), |long| async {
            let Some(mut long) = long else { return Ok(None) };
            loop {
                long.gather().await?;
                long.work = POOL.run(long.work).await?;
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
    work: Work,
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
struct Work {
    coding: Coding,
    encoder: Option<Box<dyn EncodeV2 + Send>>,
    input: VecDeque<Bytes>,
    /// Whether the input is complete.
    ends: bool,
    output: Vec<u8>,
    memory: Permit,
}

impl Work {
    fn new(coding: Coding, memory: Permit) -> Self {
        Self { coding, encoder: None, input: VecDeque::new(), ends: false, output: Vec::new(), memory }
    }

    fn take_output(&mut self) -> Bytes {
        std::mem::take(&mut self.output).into()
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

/// A job for the thread pool, with the channel for its result.
struct Job {
    work: Work,
    done: oneshot::Sender<io::Result<Work>>,
}

/// A thread pool and its queue.
struct Pool {
    queue: Mutex<Queue>,
    not_empty: Condvar,
}

struct Queue {
    /// Addresses with queued jobs, in round-robin order.
    turns: VecDeque<Option<IpAddr>>,
    jobs: BTreeMap<Option<IpAddr>, VecDeque<Job>>,
    threads: usize,
    idle: usize,
}

impl Queue {
    const fn new() -> Self {
        Self { turns: VecDeque::new(), jobs: BTreeMap::new(), threads: 0, idle: 0 }
    }

    fn push(&mut self, job: Job) {
        self.jobs_of(&job).push_back(job);
    }

    /// Puts back a job that has more steps: its address is the last in turn, and the job the first of its address.
    fn put_back(&mut self, job: Job) {
        self.jobs_of(&job).push_front(job);
    }

    /// The jobs of this job's address, which gets a turn.
    fn jobs_of(&mut self, job: &Job) -> &mut VecDeque<Job> {
        let address = job.work.memory.network();
        let jobs = self.jobs.entry(address).or_default();
        if jobs.is_empty() {
            self.turns.push_back(address);
        }
        jobs
    }

    fn pop(&mut self) -> Option<Job> {
        let address = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&address)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&address);
        } else {
            self.turns.push_back(address);
        }
        job
    }
}

impl Pool {
    /// Runs the job on a thread of the pool and waits for the result.
    async fn run(&'static self, work: Work) -> Result<Work, StoreError> {
        let (done, result) = oneshot::channel();
        self.push(Job { work, done });
        match result.await {
            Ok(done) => Ok(done?),
            Err(_) => Err(io::Error::other("the transcript could not be compressed").into()),
        }
    }

    fn push(&'static self, job: Job) {
        let most = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut queue = self.queue();
        queue.push(job);
        if queue.idle == 0 && queue.threads < most {
            queue.threads += 1;
            drop(queue);
            return self.start_thread();
        }
        drop(queue);
        self.not_empty.notify_one();
    }

    fn start_thread(&'static self) {
        let thread = std::thread::Builder::new().name("compress".to_owned());
        if let Err(error) = thread.spawn(|| self.work()) {
            tracing::warn!(%error, "the system gives no thread to compress on");
            let mut queue = self.queue();
            queue.threads -= 1;
            if queue.threads == 0 {
                // No thread is running: dropping the jobs fails the requests that wait for them.
                queue.jobs.clear();
                queue.turns.clear();
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Job {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.pop() {
                return job;
            }
            queue.idle += 1;
            queue = self.not_empty.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn work(&self) {
        let _ = rustix::process::nice(NICE);
        let mut buffer = vec![0; OUTPUT_BUFFER];
        loop {
            let mut job = self.next();
            // The client has disconnected.
            if job.done.is_closed() {
                continue;
            }
            // A panic fails only this transcript: its request sees the job dropped.
            match catch_unwind(AssertUnwindSafe(|| job.work.step(&mut buffer))) {
                Ok(Ok(false)) => self.queue().put_back(job),
                Ok(Ok(true)) => drop(job.done.send(Ok(job.work))),
                Ok(Err(error)) => drop(job.done.send(Err(error))),
                Err(_) => Task::Compression.count_panic(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(memory: &Limiter, address: &str, number: u8) -> (Job, oneshot::Receiver<io::Result<Work>>) {
        let mut work = Work::new(Coding::Gzip, memory.acquire(address.parse().ok()).unwrap());
        work.output = vec![number];
        let (done, result) = oneshot::channel();
        (Job { work, done }, result)
    }

    #[test]
    fn addresses_take_turns_however_much_each_asks_for() {
        let (memory, mut queue) = (Limiter::new(100, None), Queue::new());
        for number in 0..9 {
            queue.push(job(&memory, "192.0.2.1", number).0);
        }
        queue.push(job(&memory, "192.0.2.2", 100).0);
        queue.push(job(&memory, "192.0.2.2", 101).0);
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|job| job.work.output[0]).collect();
        assert_eq!(order, [0, 100, 1, 101, 2, 3, 4, 5, 6, 7, 8]);
        assert!(queue.jobs.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn a_job_that_goes_on_is_the_next_of_its_address_and_gives_others_their_turn() {
        let (memory, mut queue) = (Limiter::new(100, None), Queue::new());
        for (address, number) in [("192.0.2.1", 0), ("192.0.2.1", 1), ("192.0.2.2", 2), ("192.0.2.3", 3)] {
            queue.push(job(&memory, address, number).0);
        }
        let first = queue.pop().unwrap();
        queue.put_back(first);
        let alone = std::iter::from_fn(|| queue.pop()).map(|job| job.work.output[0]);
        assert_eq!(alone.collect::<Vec<_>>(), [2, 3, 0, 1]);
    }

    #[tokio::test]
    async fn what_is_compressed_in_steps_is_one_stream() {
        use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
        use tokio::io::AsyncReadExt;

        let text: Vec<u8> =
            (0..400_000_u32).map(|at| b'a' + (at.wrapping_mul(2_654_435_761) >> 29) as u8).collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let compressor = Compressor::new();
            let mut work = Work::new(coding, compressor.reserve(400_000, true, None).unwrap());
            work.input = text.chunks(90_001).map(Bytes::copy_from_slice).collect();
            work.ends = true;
            let output = POOL.run(work).await.unwrap().take_output();
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
        let compressor = Compressor::new();
        let reserve = |address: &str| compressor.reserve(50 << 20, false, address.parse().ok());
        let held: Vec<_> = std::iter::from_fn(|| reserve("192.0.2.1")).collect();
        assert_eq!(held.len(), 64);
        assert!(reserve("192.0.2.2").is_some());
        assert!(compressor.reserve(1 << 20, true, "192.0.2.1".parse().ok()).is_none(), "it has its share");
    }
}
