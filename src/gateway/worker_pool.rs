//! The threads that compress and render transcripts, so that serving threads do not.
//!
//! There are as many threads as cores. A job runs in steps, and addresses with queued jobs take turns: a client that
//! requests a hundred transcripts delays another client by one step per thread. The jobs of one address run one after
//! the other: each finds its encoder's tables in the processor's caches, and few encoders exist at once (the rows *gzip*,
//! *br* and *zstd*: a quarter less).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::tasks::Task;

/// The memory limit for jobs and what they need, in KiB.
pub(super) const MEMORY: usize = 256 * 1024;

/// The size of the buffer that a thread lends to its jobs, in bytes.
pub(super) const SCRATCH: usize = 32 * 1024;

/// The nice value of the threads (nice(2)): serving threads go first.
const NICE: i32 = 5;

/// The pool of the process.
static POOL: Pool = Pool { queue: Mutex::new(Queue::new()), not_empty: Condvar::new() };

/// What a job does.
pub(super) trait Work: Send + 'static {
    /// The label of its panics.
    const TASK: Task;

    /// The network whose turn the job takes.
    fn network(&self) -> Option<IpAddr>;

    /// Does one step. Returns whether it was the last.
    fn step(&mut self, scratch: &mut [u8]) -> io::Result<bool>;
}

/// Runs the work on a thread of the pool and waits for its end.
pub(super) async fn run<W: Work>(work: W) -> Result<W, StoreError> {
    let (done, result) = oneshot::channel();
    POOL.push(Box::new(Job { work, done }));
    match result.await {
        Ok(done) => Ok(done?),
        Err(_) => Err(io::Error::other("the transcript could not be converted").into()),
    }
}

/// Work, with the channel for its result.
struct Job<W> {
    work: W,
    done: oneshot::Sender<io::Result<W>>,
}

/// A job of any work.
trait AnyJob: Send {
    fn task(&self) -> Task;
    fn network(&self) -> Option<IpAddr>;
    /// Whether the client has disconnected.
    fn is_abandoned(&self) -> bool;
    fn step(&mut self, scratch: &mut [u8]) -> io::Result<bool>;
    fn finish(self: Box<Self>, result: io::Result<()>);
}

impl<W: Work> AnyJob for Job<W> {
    fn task(&self) -> Task {
        W::TASK
    }

    fn network(&self) -> Option<IpAddr> {
        self.work.network()
    }

    fn is_abandoned(&self) -> bool {
        self.done.is_closed()
    }

    fn step(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        self.work.step(scratch)
    }

    fn finish(self: Box<Self>, result: io::Result<()>) {
        let Self { work, done } = *self;
        drop(done.send(result.map(|()| work)));
    }
}

/// A thread pool and its queue.
struct Pool {
    queue: Mutex<Queue>,
    not_empty: Condvar,
}

struct Queue {
    /// Addresses with queued jobs, in round-robin order.
    turns: VecDeque<Option<IpAddr>>,
    jobs: BTreeMap<Option<IpAddr>, VecDeque<Box<dyn AnyJob>>>,
    threads: usize,
    idle: usize,
}

impl Queue {
    const fn new() -> Self {
        Self { turns: VecDeque::new(), jobs: BTreeMap::new(), threads: 0, idle: 0 }
    }

    fn push(&mut self, job: Box<dyn AnyJob>) {
        self.jobs_of(&*job).push_back(job);
    }

    /// Puts back a job that has more steps: its address is the last in turn, and the job the first of its address.
    fn put_back(&mut self, job: Box<dyn AnyJob>) {
        self.jobs_of(&*job).push_front(job);
    }

    /// The jobs of this job's address, which gets a turn.
    fn jobs_of(&mut self, job: &dyn AnyJob) -> &mut VecDeque<Box<dyn AnyJob>> {
        let address = job.network();
        let jobs = self.jobs.entry(address).or_default();
        if jobs.is_empty() {
            self.turns.push_back(address);
        }
        jobs
    }

    fn pop(&mut self) -> Option<Box<dyn AnyJob>> {
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
    fn push(&'static self, job: Box<dyn AnyJob>) {
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
        let thread = std::thread::Builder::new().name("transcripts".to_owned());
        if let Err(error) = thread.spawn(|| self.work()) {
            tracing::warn!(%error, "the system gives no thread to compress and render transcripts on");
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

    fn next(&self) -> Box<dyn AnyJob> {
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
        let mut scratch = vec![0; SCRATCH];
        loop {
            let mut job = self.next();
            if job.is_abandoned() {
                continue;
            }
            // A panic fails only this transcript: its request sees the job dropped.
            match catch_unwind(AssertUnwindSafe(|| job.step(&mut scratch))) {
                Ok(Ok(false)) => self.queue().put_back(job),
                Ok(Ok(true)) => job.finish(Ok(())),
                Ok(Err(error)) => job.finish(Err(error)),
                Err(_) => job.task().count_panic(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work that tells its number.
    struct Numbered {
        address: Option<IpAddr>,
        number: u8,
    }

    impl Work for Numbered {
        const TASK: Task = Task::Compression;

        fn network(&self) -> Option<IpAddr> {
            self.address
        }

        fn step(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
            scratch[0] = self.number;
            Ok(true)
        }
    }

    fn job(address: &str, number: u8) -> Box<dyn AnyJob> {
        let (done, _) = oneshot::channel();
        Box::new(Job { work: Numbered { address: address.parse().ok(), number }, done })
    }

    fn number(mut job: Box<dyn AnyJob>) -> u8 {
        let mut number = [0];
        job.step(&mut number).unwrap();
        number[0]
    }

    #[test]
    fn addresses_take_turns_however_much_each_asks_for() {
        let mut queue = Queue::new();
        for number in 0..9 {
            queue.push(job("192.0.2.1", number));
        }
        queue.push(job("192.0.2.2", 100));
        queue.push(job("192.0.2.2", 101));
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(number).collect();
        assert_eq!(order, [0, 100, 1, 101, 2, 3, 4, 5, 6, 7, 8]);
        assert!(queue.jobs.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn a_job_that_goes_on_is_the_next_of_its_address_and_gives_others_their_turn() {
        let mut queue = Queue::new();
        for (address, number) in [("192.0.2.1", 0), ("192.0.2.1", 1), ("192.0.2.2", 2), ("192.0.2.3", 3)] {
            queue.push(job(address, number));
        }
        let first = queue.pop().unwrap();
        queue.put_back(first);
        let alone = std::iter::from_fn(|| queue.pop()).map(number);
        assert_eq!(alone.collect::<Vec<_>>(), [2, 3, 0, 1]);
    }

    #[tokio::test]
    async fn work_that_panics_fails_alone() {
        struct Panics;

        impl Work for Panics {
            const TASK: Task = Task::Rendering;

            fn network(&self) -> Option<IpAddr> {
                None
            }

            fn step(&mut self, _: &mut [u8]) -> io::Result<bool> {
                panic!("a test")
            }
        }

        assert!(run(Panics).await.is_err());
        let next = run(Numbered { address: None, number: 7 }).await.unwrap();
        assert_eq!(next.number, 7);
    }
}
