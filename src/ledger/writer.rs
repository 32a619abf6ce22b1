//! Implements group commit: items that are written at the same time share a transaction. Each commit syncs the disk, so
//! a hundred callers that share one are served about a hundred times as fast.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::database::{Database, WRITERS};
use super::error::{LedgerError, Result};
use crate::tasks::{self, Task};

/// The maximum number of items in a transaction.
const MAX_BATCH: usize = 256;

/// How many items may be queued before callers wait.
const QUEUE: usize = 4 * MAX_BATCH;

/// Writes a batch in one transaction. Returns a result for each item; after an error, nothing is written.
pub(super) type WriteAll<I, O> =
    for<'a> fn(&'a Database, &'a [I]) -> Pin<Box<dyn Future<Output = Result<Vec<O>>> + Send + 'a>>;

type Waiting<I, O> = (I, oneshot::Sender<Result<O>>);

/// A queue of items, and the tasks that write them.
#[derive(Debug)]
pub(super) struct Writer<I, O>(mpsc::Sender<Waiting<I, O>>);

impl<I, O> Clone for Writer<I, O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I: Send + Sync + 'static, O: Send + 'static> Writer<I, O> {
    /// Starts the tasks. They end when the last clone is dropped. A batch waits for `linger`, so that more items share its
    /// transaction.
    pub(super) fn start(database: &Database, linger: Duration, write_all: WriteAll<I, O>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..if database.is_shared() { WRITERS } else { 1 } {
            let state = (database.clone(), Arc::clone(&receiver));
            tasks::supervise(Task::LedgerWriter, state, move |(database, receiver)| {
                Box::pin(write_until_closed(database, receiver, linger, write_all))
            });
        }
        Self(sender)
    }

    /// Waits until the item is on disk.
    pub(super) async fn write(&self, item: I) -> Result<O> {
        let (answer, answered) = oneshot::channel();
        let stopped = || LedgerError::Unavailable("the program is stopping".to_owned());
        self.0.send((item, answer)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

async fn write_until_closed<I, O>(
    database: &Database,
    queue: &Mutex<mpsc::Receiver<Waiting<I, O>>>,
    linger: Duration,
    write_all: WriteAll<I, O>,
) {
    let mut waiting = Vec::with_capacity(MAX_BATCH);
    loop {
        waiting.clear();
        if !next_batch(queue, linger, &mut waiting).await {
            return;
        }
        let (items, answers): (Vec<I>, Vec<_>) = waiting.drain(..).unzip();
        let mut written = write_all(database, &items).await;
        // Writing an item twice has no effect, so it does not matter whether the first transaction was committed.
        if matches!(written, Err(LedgerError::Interrupted(_))) {
            written = write_all(database, &items).await;
        }
        match written {
            Ok(written) => answer(answers, written.into_iter().map(Ok)),
            // An item that the database refuses must not fail the others.
            Err(LedgerError::Refused(_)) if items.len() > 1 => {
                let mut results = Vec::with_capacity(items.len());
                for item in &items {
                    let alone = write_all(database, std::slice::from_ref(item)).await;
                    results.push(alone.and_then(|mut written| written.pop().ok_or_else(no_answer)));
                }
                answer(answers, results.into_iter());
            }
            Err(error) => answer(answers, std::iter::repeat_with(|| Err(error.clone()))),
        }
    }
}

/// Waits for the next batch. False if there will be none.
async fn next_batch<T>(queue: &Mutex<mpsc::Receiver<T>>, linger: Duration, batch: &mut Vec<T>) -> bool {
    let mut queue = queue.lock().await;
    let Some(first) = queue.recv().await else { return false };
    batch.push(first);
    if !linger.is_zero() && queue.len() < MAX_BATCH / 2 {
        tokio::time::sleep(linger).await;
    }
    while batch.len() < MAX_BATCH
        && let Ok(next) = queue.try_recv()
    {
        batch.push(next);
    }
    true
}

fn no_answer() -> LedgerError {
    LedgerError::Refused("a write had no answer".to_owned())
}

/// Sends the results to the callers that are still waiting.
fn answer<O>(answers: Vec<oneshot::Sender<Result<O>>>, results: impl Iterator<Item = Result<O>>) {
    for (waiting, result) in answers.into_iter().zip(results) {
        let _ = waiting.send(result);
    }
}
