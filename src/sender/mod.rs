//! Sends what the ledger holds until it has arrived, or has failed: attempts on their schedule, with links minted for
//! each, at most so many for an endpoint at once.

mod attempt;
mod circuit_breaker;
mod clock_step;
mod concurrency;
mod config;
mod dispatch;
mod health_update;
mod link_opened;
mod maintenance;
mod metrics;
mod open_ledger;
mod schedule;
mod sender_clock;
#[cfg(test)]
mod simulation;

pub use config::Config;
pub use link_opened::record_downloads;
pub use metrics::SenderMetrics;
pub use open_ledger::open_with_retry;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use sender_clock::SenderClock;

use crate::clock::{Clock, UnixMillis, UnixSeconds};
use crate::keys::ActiveKeyring;
use crate::ledger::{
    Accepted, Endpoint, Ledger, LedgerError, NewEvent, Queue, RecoverRange, ResendOutcome, TestOutcome,
};
use crate::signed_url::BaseUrl;
use crate::store::{SAMPLE, Store};
use crate::tasks::{self, Task};
use crate::webhook::{
    Diagnosis, EndpointUrl, Poster, PosterError, UrlError, UrlRules, diagnose_probe, may_probe,
};
use dispatch::Dispatcher;

/// What the sender works with.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where everything is written down.
    pub ledger: Ledger,
    /// Where recordings and transcripts are: links are sent only for those that are there.
    pub store: Store,
    /// Signs the links.
    pub keyring: ActiveKeyring,
    /// Below which the links are.
    pub base: BaseUrl,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: SenderMetrics,
}

/// The sender's counter: takes events in and wakes whoever sends. Clones share it.
#[derive(Debug, Clone)]
pub struct Sender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    services: Services,
    poster: Poster,
    /// Names this process in leases.
    holder: String,
    wake: Notify,
    /// How many deliveries got into which line since the dispatcher looked last: no more entries than endpoints.
    enqueued: Mutex<HashMap<Queue, usize>>,
    /// Whether to look behind every endpoint at the next look.
    refresh: AtomicBool,
    stop: tokio_util::sync::CancellationToken,
    /// The time by which is scheduled, while this process sends.
    sender_clock: Mutex<Option<SenderClock>>,
    /// Held while what is stored moves with the clock.
    clock_step_lock: tokio::sync::Mutex<()>,
}

impl Sender {
    /// Prepares to send; nothing is sent before [`Sender::run`].
    ///
    /// # Errors
    /// [`PosterError`] if TLS cannot be set up.
    pub fn new(config: Config, services: Services) -> Result<Self, PosterError> {
        let poster = Poster::new(&config.poster())?;
        Ok(Self::with_poster(config, services, poster))
    }

    /// The same with a poster made before.
    #[must_use]
    pub fn with_poster(config: Config, services: Services, poster: Poster) -> Self {
        let holder = uuid::Builder::from_random_bytes(random()).into_uuid().simple().to_string();
        let (wake, stop) = (Notify::new(), tokio_util::sync::CancellationToken::new());
        Self(Arc::new(Inner {
            config,
            services,
            poster,
            holder,
            wake,
            enqueued: Mutex::default(),
            refresh: AtomicBool::new(true),
            stop,
            sender_clock: Mutex::default(),
            clock_step_lock: tokio::sync::Mutex::default(),
        }))
    }

    /// Sends until [`Sender::stop`]; then waits for the attempts under way and returns.
    pub async fn run(&self) {
        *self.sender_clock() = Some(SenderClock::new(self.0.services.clock.reading()));
        let upkeep =
            tasks::supervise(Task::Upkeep, self.clone(), |sender| Box::pin(maintenance::run(sender)));
        tasks::restart_on_panic(Task::Dispatcher, self.clone(), |sender| {
            Box::pin(Dispatcher::new(sender.clone()).run())
        })
        .await;
        upkeep.abort();
        *self.sender_clock() = None;
    }

    /// Ends [`Sender::run`]: nothing new is begun.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Looks for what is due now, behind every endpoint: after a change of endpoints, or of a clock by hand.
    pub fn wake(&self) {
        self.0.refresh.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// The ledger, for reading and for what needs no sending.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.services.ledger
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The time it is for the sender: the wall clock's, as it was when the dispatcher last looked, and what has passed
    /// since.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        let reading = self.0.services.clock.reading();
        self.sender_clock().map_or(reading.wall, |sender_clock| sender_clock.now(reading))
    }

    /// The time it is for what cannot be undone.
    fn conservative_now(&self) -> UnixMillis {
        let reading = self.0.services.clock.reading();
        self.sender_clock().map_or(reading.wall, |sender_clock| sender_clock.conservative_now(reading))
    }

    /// For how long the wall clock has been watched and did not jump.
    fn stable_for(&self) -> Duration {
        let reading = self.0.services.clock.reading();
        self.sender_clock().map_or(Duration::ZERO, |sender_clock| sender_clock.stable_for(reading))
    }

    /// The wall clock's second, for what others hold against their clocks: links and signatures.
    fn wall(&self) -> UnixSeconds {
        self.0.services.clock.now()
    }

    fn sender_clock(&self) -> MutexGuard<'_, Option<SenderClock>> {
        self.0.sender_clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a stored URL that events may be sent to.
    ///
    /// # Errors
    /// [`UrlError`] says why they may not.
    pub fn url(&self, text: &str) -> Result<EndpointUrl, UrlError> {
        EndpointUrl::parse(text, &self.url_rules())
    }

    /// Reads a URL that a person enters.
    ///
    /// # Errors
    /// As [`Sender::url`], and for what copying adds to a URL.
    pub fn parse_entered_url(&self, text: &str) -> Result<EndpointUrl, UrlError> {
        EndpointUrl::parse_entered(text, &self.url_rules())
    }

    fn url_rules(&self) -> UrlRules<'_> {
        UrlRules { allow_http: self.0.config.allow_http, networks: &self.0.config.networks }
    }

    /// Looks at a receiver without sending it anything; says what is wrong with it, as far as that can be seen.
    pub async fn probe_receiver(&self, workspace: &str, url: &EndpointUrl) -> Option<Diagnosis> {
        if !may_probe(url) {
            return None;
        }
        diagnose_probe(url, &self.0.poster.probe(workspace, url).await)
    }

    /// Accepts an event and has it sent. `None` if another call was accepted under the same call id.
    ///
    /// # Errors
    /// [`LedgerError`] if it is not on disk: it is not accepted.
    pub async fn accept(&self, event: NewEvent) -> Result<Option<Accepted>, LedgerError> {
        let accepted = self.ledger().accept(event).await?;
        if let Some(accepted) = accepted.as_ref().filter(|accepted| accepted.is_new) {
            self.on_accepted(accepted);
        }
        Ok(accepted)
    }

    /// Sends a test event to one endpoint, with the documentation's sample and assets that really download, unless there
    /// were too many lately.
    ///
    /// # Errors
    /// As [`Sender::accept`].
    pub async fn test(&self, endpoint: &Endpoint) -> Result<TestOutcome, LedgerError> {
        let tested = self.ledger().accept_test(&endpoint.workspace, &endpoint.id, SAMPLE, self.now()).await?;
        if let TestOutcome::Accepted(accepted) = &tested {
            self.on_accepted(accepted);
        }
        Ok(tested)
    }

    /// What is counted of this sender.
    pub(crate) fn metrics(&self) -> &SenderMetrics {
        &self.0.services.metrics
    }

    fn on_accepted(&self, accepted: &Accepted) {
        self.0.services.metrics.event_accepted();
        let mut enqueued = self.0.enqueued.lock().unwrap_or_else(PoisonError::into_inner);
        for line in &accepted.queues {
            *enqueued.entry(line.clone()).or_default() += 1;
        }
        drop(enqueued);
        self.0.wake.notify_one();
    }

    /// The lines that deliveries got into since the last call, and how many.
    fn take_enqueued(&self) -> HashMap<Queue, usize> {
        std::mem::take(&mut *self.0.enqueued.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a delivery again; its first attempt waits for no hold.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn resend(&self, workspace: &str, delivery: &str) -> Result<ResendOutcome, LedgerError> {
        let resent = self.ledger().resend(workspace, delivery, self.now()).await?;
        self.wake();
        Ok(resent)
    }

    /// Sends everything again that failed in a range of time; says how much that is.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn recover(&self, workspace: &str, range: &RecoverRange) -> Result<u64, LedgerError> {
        let recovered = self.ledger().recover(workspace, range, self.now()).await?;
        self.wake();
        Ok(recovered)
    }
}

/// Sixteen random bytes; zeros if the system has none, which only makes two processes look alike in a log.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    bytes
}

/// A random number from 0 to 1, for jitter.
fn jitter() -> f64 {
    let [a, b, ..] = random();
    f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX)
}
