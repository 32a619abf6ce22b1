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
mod open_ledger;
mod schedule;
mod sender_clock;
#[cfg(test)]
mod simulation;

pub use config::Config;
pub use link_opened::remember_downloads;
pub use open_ledger::open_until_it_works;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use sender_clock::Timeline;

use crate::clock::{Clock, UnixMillis, UnixSeconds};
use crate::keys::ActiveKeyring;
use crate::ledger::{Accepted, Endpoint, Ledger, LedgerError, Line, NewEvent, RecoverRange, Resent, Tested};
use crate::signed_url::BaseUrl;
use crate::store::{SAMPLE, Store};
use crate::tasks::{self, Task};
use crate::telemetry::metrics::Metrics;
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
    pub metrics: Metrics,
}

/// The sender's counter: takes events in and wakes whoever sends. Clones share it.
#[derive(Debug, Clone)]
pub struct Sender(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    config: Config,
    services: Services,
    poster: Poster,
    /// Names this process in leases.
    holder: String,
    wake: Notify,
    /// How many deliveries got into which line since the dispatcher looked last: no more entries than endpoints.
    arrivals: Mutex<HashMap<Line, usize>>,
    /// Whether to look behind every endpoint at the next look.
    look_everywhere: AtomicBool,
    stop: tokio_util::sync::CancellationToken,
    /// The time by which is scheduled, while this process sends.
    timeline: Mutex<Option<Timeline>>,
    /// Held while what is stored moves with the clock.
    moving: tokio::sync::Mutex<()>,
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
        Self(Arc::new(Parts {
            config,
            services,
            poster,
            holder,
            wake,
            arrivals: Mutex::default(),
            look_everywhere: AtomicBool::new(true),
            stop,
            timeline: Mutex::default(),
            moving: tokio::sync::Mutex::default(),
        }))
    }

    /// Sends until [`Sender::stop`]; then waits for the attempts under way and returns.
    pub async fn run(&self) {
        *self.timeline() = Some(Timeline::new(self.0.services.clock.reading()));
        let upkeep =
            tasks::supervise(Task::Upkeep, self.clone(), |sender| Box::pin(maintenance::keep_up(sender)));
        tasks::restart_on_panic(Task::Dispatcher, self.clone(), |sender| {
            Box::pin(Dispatcher::new(sender.clone()).run())
        })
        .await;
        upkeep.abort();
        *self.timeline() = None;
    }

    /// Ends [`Sender::run`]: nothing new is begun.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Looks for what is due now, behind every endpoint: after a change of endpoints, or of a clock by hand.
    pub fn wake(&self) {
        self.0.look_everywhere.store(true, Ordering::Relaxed);
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
        self.timeline().map_or(reading.wall, |timeline| timeline.now(reading))
    }

    /// The time it is for what cannot be undone.
    fn cautious_now(&self) -> UnixMillis {
        let reading = self.0.services.clock.reading();
        self.timeline().map_or(reading.wall, |timeline| timeline.cautious_now(reading))
    }

    /// For how long the wall clock has been watched and did not jump.
    fn watched(&self) -> Duration {
        let reading = self.0.services.clock.reading();
        self.timeline().map_or(Duration::ZERO, |timeline| timeline.watched(reading))
    }

    /// The wall clock's second, for what others hold against their clocks: links and signatures.
    fn wall(&self) -> UnixSeconds {
        self.0.services.clock.now()
    }

    fn timeline(&self) -> MutexGuard<'_, Option<Timeline>> {
        self.0.timeline.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub fn entered_url(&self, text: &str) -> Result<EndpointUrl, UrlError> {
        EndpointUrl::parse_entered(text, &self.url_rules())
    }

    fn url_rules(&self) -> UrlRules<'_> {
        UrlRules { allow_http: self.0.config.allow_http, networks: &self.0.config.networks }
    }

    /// Looks at a receiver without sending it anything; says what is wrong with it, as far as that can be seen.
    pub async fn look_at(&self, workspace: &str, url: &EndpointUrl) -> Option<Diagnosis> {
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
        if let Some(accepted) = accepted.as_ref().filter(|accepted| accepted.fresh) {
            self.arrived(accepted);
        }
        Ok(accepted)
    }

    /// Sends a test event to one endpoint, with the documentation's sample and assets that really download, unless there
    /// were too many lately.
    ///
    /// # Errors
    /// As [`Sender::accept`].
    pub async fn test(&self, endpoint: &Endpoint) -> Result<Tested, LedgerError> {
        let tested = self.ledger().accept_test(&endpoint.workspace, &endpoint.id, SAMPLE, self.now()).await?;
        if let Tested::Accepted(accepted) = &tested {
            self.arrived(accepted);
        }
        Ok(tested)
    }

    fn arrived(&self, accepted: &Accepted) {
        self.0.services.metrics.event_accepted();
        let mut arrivals = self.0.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        for line in &accepted.lines {
            *arrivals.entry(line.clone()).or_default() += 1;
        }
        drop(arrivals);
        self.0.wake.notify_one();
    }

    /// The lines that deliveries got into since the last call, and how many.
    fn take_arrivals(&self) -> HashMap<Line, usize> {
        std::mem::take(&mut *self.0.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a delivery again; its first attempt waits for no hold.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn resend(&self, workspace: &str, delivery: &str) -> Result<Resent, LedgerError> {
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
fn chance() -> f64 {
    let [a, b, ..] = random();
    f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX)
}
