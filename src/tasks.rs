//! Spawns every task of the program. A task that panics ends alone and drops its state; the panic is counted and
//! logged. A supervised task restarts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::task::JoinHandle;

/// The delay before a task restarts after a panic.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The tasks, and their labels in `webhook_assets_tasks_died_total`.
macro_rules! tasks {
    ($($task:ident = $name:literal,)*) => {
        /// The kinds of tasks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Task {
            $($task,)*
        }

        impl Task {
            const ALL: &[Self] = &[$(Self::$task,)*];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$task => $name,)*
                }
            }
        }
    };
}

tasks! {
    AcceptLoop = "accept_loop",
    Connection = "connection",
    Http2Stream = "http2_stream",
    IdleConnection = "idle_connection",
    KeyringWatch = "keyring_watch",
    TokensWatch = "tokens_watch",
    CertificateWatch = "certificate_watch",
    Reload = "reload",
    MemoryTrim = "memory_trim",
    FileCache = "file_cache",
    StoreProbe = "store_probe",
    ReadinessProbe = "readiness_probe",
    Prefetch = "prefetch",
    Dispatcher = "dispatcher",
    Acceptance = "acceptance",
    Delivery = "delivery",
    EndpointHealth = "endpoint_health",
    Upkeep = "upkeep",
    LinkOpened = "link_opened",
    LateAssets = "late_assets",
    Alerts = "alerts",
    LedgerWriter = "ledger_writer",
    LedgerOpening = "ledger_opening",
    LedgerErasure = "ledger_erasure",
    TraceExporter = "trace_exporter",
    LogWriter = "log_writer",
    Compression = "compression",
    Rendering = "rendering",
    Form = "form",
}

impl Task {
    /// Counts and logs a panic of this task.
    pub(crate) fn count_panic(self) {
        PANICS.get_or_create(&TaskLabel { task: self.name() }).inc();
        tracing::error!(
            task = self.name(),
            "a task panicked; this is a fault of webhook-assets: please report it with the line before"
        );
    }

    /// Returns a guard that counts a panic when a panic drops it.
    pub(crate) fn panic_guard(self) -> PanicGuard {
        PanicGuard(self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TaskLabel {
    task: &'static str,
}

pub(crate) type PanicCounter = Family<TaskLabel, Counter>;

/// One counter for the process, like the panic hook.
static PANICS: LazyLock<PanicCounter> = LazyLock::new(|| {
    let panics = PanicCounter::default();
    // Every series exists from the start, so that Prometheus sees the first panic as a change.
    for task in Task::ALL {
        let _ = panics.get_or_create(&TaskLabel { task: task.name() });
    }
    panics
});

/// The counter of panicked tasks.
pub(crate) fn panic_counter() -> PanicCounter {
    PANICS.clone()
}

/// Counts a panic if a panic drops it.
#[derive(Debug)]
pub(crate) struct PanicGuard(Task);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.count_panic();
        }
    }
}

/// Spawns a task that ends at its first panic.
pub(crate) fn spawn<F>(task: Task, work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(async move {
        let _guard = task.panic_guard();
        work.await
    })
}

/// Spawns a task that restarts with the same state after each panic, until it returns.
pub(crate) fn supervise<S, W>(task: Task, state: S, work: W) -> JoinHandle<()>
where
    S: Send + 'static,
    W: for<'s> FnMut(&'s mut S) -> BoxFuture<'s, ()> + Send + 'static,
{
    tokio::spawn(restart_on_panic(task, state, work))
}

/// Like [`supervise`], within the caller's task.
pub(crate) async fn restart_on_panic<S, W>(task: Task, mut state: S, mut work: W)
where
    W: for<'s> FnMut(&'s mut S) -> BoxFuture<'s, ()>,
{
    while catch_panic(task, async { work(&mut state).await }).await.is_none() {
        tokio::time::sleep(RESTART_DELAY).await;
    }
}

/// Like [`supervise`], on a thread without a runtime.
pub(crate) fn restart_thread_on_panic(task: Task, mut work: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        task.count_panic();
        std::thread::sleep(RESTART_DELAY);
    }
}

/// The output of `work`; `None` if it panics. After a panic, state that `work` was changing may be inconsistent.
pub(crate) async fn catch_panic<T>(task: Task, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.inspect_err(|_| task.count_panic()).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn panics(task: Task) -> u64 {
        PANICS.get_or_create(&TaskLabel { task: task.name() }).get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_supervised_task_that_panics_is_counted_and_starts_again_on_its_state() {
        let before = panics(Task::MemoryTrim);
        let supervised = supervise(Task::MemoryTrim, 0, |count| {
            Box::pin(async move {
                *count += 1;
                assert!(*count == 3, "not yet");
            })
        });
        supervised.await.unwrap();
        assert_eq!(panics(Task::MemoryTrim) - before, 2);
    }

    #[tokio::test]
    async fn a_task_that_panics_drops_what_it_held() {
        let (before, held) = (panics(Task::Prefetch), Arc::new(()));
        let its = Arc::clone(&held);
        let ended = spawn(Task::Prefetch, async move {
            let _its = its;
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        assert!(ended.await.is_err());
        assert_eq!((Arc::strong_count(&held), panics(Task::Prefetch) - before), (1, 1));
    }

    #[test]
    fn a_thread_that_panics_starts_again() {
        let rounds = AtomicU32::new(0);
        restart_thread_on_panic(Task::LogWriter, || assert!(rounds.fetch_add(1, Ordering::Relaxed) > 0));
        assert_eq!(rounds.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn no_two_tasks_share_a_name() {
        let names: std::collections::BTreeSet<_> = Task::ALL.iter().map(|task| task.name()).collect();
        assert_eq!(names.len(), Task::ALL.len());
    }
}
