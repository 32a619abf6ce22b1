//! Defines the sender's handle, which callers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::admission::Admission;
use super::alert_lane::AlertLane;
use super::alert_poster::AlertPoster;
use super::config::Config;
use super::metrics::SenderMetrics;
use super::question::Question;
use super::sender_clock::SenderClock;
use crate::clock::{Clock, StateSince, UnixMillis, UnixSeconds};
use crate::keys::ActiveKeyring;
use crate::ledger::{
    Actor, BackfillOutcome, Ledger, LedgerError, RecoverRange, ResendMany, ResendOutcome, ResentMany,
};
use crate::signed_url::BaseUrl;
use crate::store::Store;
use crate::webhook::{
    Diagnosis, EndpointUrl, Poster, PosterError, UrlError, UrlRules, diagnose_probe, may_probe,
};

/// The services that the sender uses.
#[derive(Debug, Clone)]
pub struct Services {
    /// Stores events, deliveries and attempts.
    pub ledger: Ledger,
    /// Holds recordings and transcripts: links are sent only for those that exist.
    pub store: Store,
    /// Signs the links.
    pub keyring: ActiveKeyring,
    /// The base URL of the links.
    pub base: BaseUrl,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The metrics.
    pub metrics: SenderMetrics,
}

/// Accepts events and wakes the dispatcher. Clones share it.
#[derive(Debug, Clone)]
pub struct Sender(pub(super) Arc<Inner>, Ledger);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) services: Services,
    pub(super) poster: Poster,
    alerts: Option<AlertLane>,
    /// Whether the dispatcher can use the database.
    pub(super) database: StateSince,
    /// Names this process in leases.
    pub(super) holder: String,
    pub(super) wake: Notify,
    /// The permits; `None` before the dispatcher starts.
    admission: Mutex<Option<Arc<Admission>>>,
    /// Whether the next poll reads every queue.
    pub(super) refresh: AtomicBool,
    pub(super) stop: tokio_util::sync::CancellationToken,
    /// The clock of the schedules, while this process sends.
    sender_clock: Mutex<Option<SenderClock>>,
    /// Locked for writing while stored times are shifted after a step of the wall clock, and for reading while leases are
    /// written or judged.
    pub(super) clock_step_lock: tokio::sync::RwLock<()>,
}

impl Sender {
    /// Creates a sender, which sends nothing before [`Sender::run`].
    ///
    /// # Errors
    /// [`PosterError`] if TLS cannot be set up.
    pub fn new(config: Config, services: Services) -> Result<Self, PosterError> {
        let poster = Poster::new(&config.poster())?;
        let alerts = AlertPoster::new(&config)?.map(AlertLane::new);
        let holder = uuid::Builder::from_random_bytes(random()).into_uuid().simple().to_string();
        let (wake, stop) = (Notify::new(), tokio_util::sync::CancellationToken::new());
        let ledger = services.ledger.clone();
        let inner = Inner {
            config,
            services,
            poster,
            alerts,
            database: StateSince::default(),
            holder,
            wake,
            admission: Mutex::default(),
            refresh: AtomicBool::new(true),
            stop,
            sender_clock: Mutex::default(),
            clock_step_lock: tokio::sync::RwLock::default(),
        };
        Ok(Self(Arc::new(inner), ledger))
    }

    /// Ends [`Sender::run`]: no new attempt begins.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Makes the dispatcher read every queue now. Call this after a change of endpoints, or of a manual clock.
    pub fn wake(&self) {
        self.0.refresh.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// The ledger, for calls that do not involve sending.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.1
    }

    /// A handle whose changes are recorded in the audit trail, as done by `actor` now.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self(Arc::clone(&self.0), self.1.acting_as(actor, self.now()))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The sender's time: the wall clock at the dispatcher's last poll, plus the time elapsed since.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        let reading = self.0.services.clock.reading();
        self.sender_clock().map_or(reading.wall, |sender_clock| sender_clock.now(reading))
    }

    /// The time for decisions that cannot be undone.
    pub(super) fn conservative_now(&self) -> UnixMillis {
        let reading = self.0.services.clock.reading();
        self.sender_clock().map_or(reading.wall, |sender_clock| sender_clock.conservative_now(reading))
    }

    /// How long the wall clock has run without a step while observed.
    pub(super) fn stable_for(&self) -> Duration {
        let reading = self.0.services.clock.reading();
        self.sender_clock().map_or(Duration::ZERO, |sender_clock| sender_clock.stable_for(reading))
    }

    /// The wall clock's second, for links and signatures, which other machines check against their clocks.
    pub(super) fn wall(&self) -> UnixSeconds {
        self.0.services.clock.now()
    }

    pub(super) fn sender_clock(&self) -> MutexGuard<'_, Option<SenderClock>> {
        self.0.sender_clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parses a stored URL that events may be sent to.
    ///
    /// # Errors
    /// A [`UrlError`] with the reason.
    pub fn url(&self, text: &str) -> Result<EndpointUrl, UrlError> {
        EndpointUrl::parse(text, &self.url_rules())
    }

    /// Parses a URL that a user entered.
    ///
    /// # Errors
    /// Like [`Sender::url`], and for characters that copying adds to a URL.
    pub fn parse_entered_url(&self, text: &str) -> Result<EndpointUrl, UrlError> {
        EndpointUrl::parse_entered(text, &self.url_rules())
    }

    fn url_rules(&self) -> UrlRules<'_> {
        UrlRules { allow_http: self.0.config.allow_http, networks: &self.0.config.networks }
    }

    /// Connects to a receiver without sending an event. Returns a diagnosis if it finds a problem.
    pub async fn probe_receiver(&self, workspace: &str, url: &EndpointUrl) -> Option<Diagnosis> {
        if !may_probe(url) {
            return None;
        }
        diagnose_probe(url, &self.0.poster.probe(workspace, url).await)
    }

    /// Whether the database can be used, and since when, as the sender's loop finds it.
    #[must_use]
    pub fn database_state(&self) -> (bool, Instant) {
        self.0.database.get()
    }

    /// Whether the last alert was taken, and since when; `None` if the operator wants no alerts.
    #[must_use]
    pub fn alerts_state(&self) -> Option<(bool, Instant)> {
        self.alerts().map(|alerts| alerts.taken.get())
    }

    /// The metrics of this sender.
    pub(crate) fn metrics(&self) -> &SenderMetrics {
        &self.0.services.metrics
    }

    /// The alerts, if the operator wants them.
    pub(super) fn alerts(&self) -> Option<&AlertLane> {
        self.0.alerts.as_ref()
    }

    /// The permits; `None` before the dispatcher starts.
    pub(super) fn admission(&self) -> Option<Arc<Admission>> {
        self.0.admission.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_admission(&self, admission: Arc<Admission>) {
        *self.0.admission.lock().unwrap_or_else(PoisonError::into_inner) = Some(admission);
    }

    /// Resends a delivery. Its first attempt ignores a hold of the endpoint.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn resend(&self, workspace: &str, delivery: &str) -> Result<ResendOutcome, LedgerError> {
        let resent = self.ledger().resend(workspace, delivery, self.now()).await?;
        self.metrics().requeued("resend", u64::from(matches!(resent, ResendOutcome::Queued)));
        self.wake();
        Ok(resent)
    }

    /// Resends several deliveries; `what` describes them in the audit trail.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn resend_many(
        &self,
        workspace: &str,
        chosen: ResendMany<'_>,
        what: serde_json::Value,
    ) -> Result<ResentMany, LedgerError> {
        let resent = self.ledger().resend_many(workspace, chosen, what, self.now()).await?;
        self.wake();
        Ok(resent)
    }

    /// Resends the deliveries of a time range. Returns their number.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn recover(&self, workspace: &str, range: &RecoverRange) -> Result<u64, LedgerError> {
        let recovered = self.ledger().recover(workspace, range, self.now()).await?;
        self.metrics().requeued("recover", recovered);
        self.wake();
        Ok(recovered)
    }

    /// Reads what a person looks for; a link is diagnosed by the wall clock.
    #[must_use]
    pub fn read_question(&self, text: &str) -> Question {
        let Services { keyring, base, .. } = &self.0.services;
        Question::read(text, &keyring.load(), self.0.config.link_lifetime, Some(base), self.wall())
    }

    /// Sends the workspace's calls since `from` to an endpoint that has no delivery for them; in a dry run only counts them.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn backfill(
        &self,
        workspace: &str,
        endpoint: &str,
        from: UnixMillis,
        dry_run: bool,
    ) -> Result<BackfillOutcome, LedgerError> {
        let outcome = self.ledger().backfill(workspace, endpoint, from, dry_run, self.now()).await?;
        if let (BackfillOutcome::Calls(calls), false) = (&outcome, dry_run) {
            self.metrics().requeued("backfill", *calls);
        }
        self.wake();
        Ok(outcome)
    }
}

/// Sixteen random bytes; zeros if the system has none. Zeros only make two processes indistinguishable in a log.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    bytes
}
