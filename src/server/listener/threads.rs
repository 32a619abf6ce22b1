//! Runs one thread per core, each with a single-threaded runtime. A connection stays on the thread that accepted it, so
//! its data stays on one core. All threads accept from the same listener, and an idle thread accepts first.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::server::context::Server;
use crate::server::handler::Handler;
use crate::server::listener::accept::RETRY_DELAY;
use crate::tasks::{self, Task};

/// How long a thread that ends waits for reads from disk.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The threads of a server. Dropping this aborts connections in flight and joins the threads.
#[derive(Debug)]
pub struct Threads {
    end: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end.send_replace(true);
        for thread in self.running.drain(..) {
            // A thread that panicked has logged it.
            let _ = thread.join();
        }
    }
}

/// The runtime of a thread that has not started. Unlike a bare runtime, it may be dropped on a thread of another runtime.
struct PreparedRuntime(Option<Runtime>);

impl PreparedRuntime {
    fn new() -> io::Result<Self> {
        tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| Self(Some(runtime)))
    }
}

impl Drop for PreparedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl<H: Handler> Server<H> {
    /// Spawns `threads` threads that serve until draining begins and then finish the connections in flight. Returns
    /// without waiting.
    ///
    /// # Errors
    /// If the system cannot create a thread or duplicate the listener.
    pub fn serve_on_threads(self, listener: &TcpListener, threads: NonZeroUsize) -> io::Result<Threads> {
        listener.set_nonblocking(true)?;
        let mut started = Threads { end: watch::Sender::new(false), running: Vec::new() };
        // All threads have their descriptors before the first connection takes one.
        let prepare = |_| Ok((listener.try_clone()?, PreparedRuntime::new()?));
        let prepared = (0..threads.get()).map(prepare).collect::<io::Result<Vec<_>>>()?;
        for (number, (listener, runtime)) in prepared.into_iter().enumerate() {
            let this = self.clone();
            let end = started.end.subscribe();
            let thread = std::thread::Builder::new().name(format!("gateway {number}"));
            started.running.push(thread.spawn(move || this.run(listener, runtime, end))?);
        }
        Ok(started)
    }

    /// Does the same as [`Server::serve`], on a duplicate of the listener. Tries again while the process has no
    /// descriptor for one.
    pub async fn serve_on(&self, listener: &TcpListener) {
        let mut has_said_so = false;
        loop {
            match listener.try_clone().and_then(tokio::net::TcpListener::from_std) {
                Ok(listener) => return self.clone().serve(listener).await,
                Err(error) if !has_said_so => {
                    tracing::error!(
                        %error,
                        "a listener accepts no connections: it cannot be duplicated; trying again ten times a second until \
                         it can (raise the limit on open files, or lower server.connections)"
                    );
                    has_said_so = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_DELAY) => {}
                () = self.drain.begun() => return,
            }
        }
    }

    fn run(self, listener: TcpListener, mut runtime: PreparedRuntime, mut end: watch::Receiver<bool>) {
        let Some(runtime) = runtime.0.take() else { return };
        let drain = self.drain.clone();
        let serve = async {
            tasks::restart_on_panic(Task::AcceptLoop, (self, listener), |(this, listener)| {
                Box::pin(this.serve_on(listener))
            })
            .await;
            drain.ended().await;
        };
        runtime.block_on(async {
            tokio::select! {
                () = serve => {}
                _ = end.wait_for(|end| *end) => {}
            }
        });
        // Drops requests that are still in flight. They are recorded as aborted.
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_prepared_runtime_may_be_dropped_on_a_thread_of_another() {
        drop(PreparedRuntime::new().unwrap());
    }
}
