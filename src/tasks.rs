//! Tasks: every one of the program is spawned here. One that panics ends alone, is counted and logged; what it held comes
//! back as its values are dropped. One that has to live as long as the program is started again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::task::JoinHandle;

/// How long a task that died waits before it is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a task does. The name is its label in `webhook_assets_tasks_died_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    AcceptLoop,
    Connection,
    Http2Stream,
    IdleConnection,
    KeyringWatch,
    CertificateWatch,
    Reload,
    MemoryTrim,
    FileCache,
    StoreProbe,
    ReadinessProbe,
    StoreConnection,
    Prefetch,
    Dispatcher,
    Delivery,
    EndpointHealth,
    Upkeep,
    LinkOpened,
    LedgerWriter,
    LedgerOpening,
    LedgerErasure,
    TraceExporter,
    LogWriter,
    Compression,
}

impl Task {
    const ALL: [Self; 24] = [
        Self::AcceptLoop,
        Self::Connection,
        Self::Http2Stream,
        Self::IdleConnection,
        Self::KeyringWatch,
        Self::CertificateWatch,
        Self::Reload,
        Self::MemoryTrim,
        Self::FileCache,
        Self::StoreProbe,
        Self::ReadinessProbe,
        Self::StoreConnection,
        Self::Prefetch,
        Self::Dispatcher,
        Self::Delivery,
        Self::EndpointHealth,
        Self::Upkeep,
        Self::LinkOpened,
        Self::LedgerWriter,
        Self::LedgerOpening,
        Self::LedgerErasure,
        Self::TraceExporter,
        Self::LogWriter,
        Self::Compression,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AcceptLoop => "accept_loop",
            Self::Connection => "connection",
            Self::Http2Stream => "http2_stream",
            Self::IdleConnection => "idle_connection",
            Self::KeyringWatch => "keyring_watch",
            Self::CertificateWatch => "certificate_watch",
            Self::Reload => "reload",
            Self::MemoryTrim => "memory_trim",
            Self::FileCache => "file_cache",
            Self::StoreProbe => "store_probe",
            Self::ReadinessProbe => "readiness_probe",
            Self::StoreConnection => "store_connection",
            Self::Prefetch => "prefetch",
            Self::Dispatcher => "dispatcher",
            Self::Delivery => "delivery",
            Self::EndpointHealth => "endpoint_health",
            Self::Upkeep => "upkeep",
            Self::LinkOpened => "link_opened",
            Self::LedgerWriter => "ledger_writer",
            Self::LedgerOpening => "ledger_opening",
            Self::LedgerErasure => "ledger_erasure",
            Self::TraceExporter => "trace_exporter",
            Self::LogWriter => "log_writer",
            Self::Compression => "compression",
        }
    }

    /// Counts a panic, and says which task it ended.
    pub(crate) fn count_panic(self) {
        PANICS.get_or_create(&TaskLabel { task: self.name() }).inc();
        tracing::error!(
            task = self.name(),
            "a task panicked; this is a fault of webhook-assets: please report it with the line before"
        );
    }

    /// Notices a panic in whatever holds this.
    pub(crate) fn panic_guard(self) -> PanicGuard {
        PanicGuard(self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TaskLabel {
    task: &'static str,
}

pub(crate) type PanicCounter = Family<TaskLabel, Counter>;

/// Of the whole process, as panics are.
static PANICS: LazyLock<PanicCounter> = LazyLock::new(|| {
    let panics = PanicCounter::default();
    // A series that is there from the start: the first death can be seen as a change.
    for task in Task::ALL {
        let _ = panics.get_or_create(&TaskLabel { task: task.name() });
    }
    panics
});

/// How many tasks have died.
pub(crate) fn panic_counter() -> PanicCounter {
    PANICS.clone()
}

/// Notices a panic when it is dropped by one.
#[derive(Debug)]
pub(crate) struct PanicGuard(Task);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.count_panic();
        }
    }
}

/// Spawns a task that ends by itself.
pub(crate) fn spawn<F>(task: Task, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(async move {
        let _guard = task.panic_guard();
        work.await
    })
}

/// Spawns a task that is started again on the same state should it panic, until it returns.
pub(crate) fn supervise<S, W>(task: Task, state: S, work: W) -> JoinHandle<()>
where
    S: Send + 'static,
    W: for<'s> FnMut(&'s mut S) -> BoxFuture<'s, ()> + Send + 'static,
{
    tokio::spawn(restart_on_panic(task, state, work))
}

/// The same in the task that waits for this.
pub(crate) async fn restart_on_panic<S, W>(task: Task, mut state: S, mut work: W)
where
    W: for<'s> FnMut(&'s mut S) -> BoxFuture<'s, ()>,
{
    while catch_panic(task, async { work(&mut state).await }).await.is_none() {
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same on a thread that has no runtime.
pub(crate) fn restart_thread_on_panic(task: Task, mut work: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        task.count_panic();
        std::thread::sleep(PAUSE);
    }
}

/// What `work` comes to, unless it panics. Nothing may be relied on afterwards that it had its hands on.
pub(crate) async fn catch_panic<T>(task: Task, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.inspect_err(|_| task.count_panic()).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn deaths(task: Task) -> u64 {
        PANICS.get_or_create(&TaskLabel { task: task.name() }).get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_counted_and_started_again_on_its_state() {
        let before = deaths(Task::MemoryTrim);
        let supervised = supervise(Task::MemoryTrim, 0, |count| {
            Box::pin(async move {
                *count += 1;
                assert!(*count == 3, "not yet");
            })
        });
        supervised.await.unwrap();
        assert_eq!(deaths(Task::MemoryTrim) - before, 2);
    }

    #[tokio::test]
    async fn a_task_that_panics_gives_back_what_it_held() {
        let (before, held) = (deaths(Task::Prefetch), Arc::new(()));
        let its = Arc::clone(&held);
        let ended = spawn(Task::Prefetch, async move {
            let _its = its;
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        assert!(ended.await.is_err());
        assert_eq!((Arc::strong_count(&held), deaths(Task::Prefetch) - before), (1, 1));
    }

    #[test]
    fn a_thread_that_panics_goes_on() {
        let rounds = AtomicU32::new(0);
        restart_thread_on_panic(Task::LogWriter, || assert!(rounds.fetch_add(1, Ordering::Relaxed) > 0));
        assert_eq!(rounds.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn every_task_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Task::ALL.map(Task::name).into();
        assert_eq!(names.len(), Task::ALL.len());
    }
}
