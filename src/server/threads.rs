//! A thread for each core, with a runtime of its own: a connection stays with the thread that accepted it, so nothing of it
//! wanders from core to core. All threads accept from one listener: who is free comes first.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{Handler, Server};
use crate::tasks::{self, Task};

/// How long a thread that ends waits for a disk that is being read.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The threads of a server. Dropped, they end with whatever is in flight, and are waited for.
#[derive(Debug)]
pub struct Threads {
    end: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end.send_replace(true);
        for thread in self.running.drain(..) {
            // One that has panicked has said so.
            let _ = thread.join();
        }
    }
}

impl<H: Handler> Server<H> {
    /// Serves on `threads` threads of its own until draining begins, then lets connections in flight finish. Returns at
    /// once.
    ///
    /// # Errors
    /// If the system gives no thread, or refuses the listener.
    pub fn serve_on_threads(self, listener: &TcpListener, threads: NonZeroUsize) -> io::Result<Threads> {
        listener.set_nonblocking(true)?;
        let mut started = Threads { end: watch::Sender::new(false), running: Vec::new() };
        for number in 0..threads.get() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (this, listener) = (self.clone(), listener.try_clone()?);
            let end = started.end.subscribe();
            let thread = std::thread::Builder::new().name(format!("gateway {number}"));
            started.running.push(thread.spawn(move || this.work(listener, runtime, end))?);
        }
        Ok(started)
    }

    /// As [`Server::serve`], without taking the listener away.
    pub async fn serve_on(&self, listener: &TcpListener) {
        match listener.try_clone().and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => self.clone().serve(listener).await,
            Err(error) => {
                tracing::error!(%error, "nothing can be accepted from a listener, so it serves nobody");
            }
        }
    }

    fn work(self, listener: TcpListener, runtime: Runtime, mut end: watch::Receiver<bool>) {
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
        // What is still in flight is dropped, and recorded as broken off.
        runtime.shutdown_timeout(LAST_WAIT);
    }
}
