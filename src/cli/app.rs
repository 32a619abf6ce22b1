//! The services of a process, for serving links and for sending webhooks.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::ValueEnum;

use super::exit::Failure;
use super::reload::Limits;
use crate::cli::metrics::Metrics;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::keys::ActiveKeyring;
use crate::server::{Certificate, Drain};
use crate::signed_url::Keyring;
use crate::store::Store;
use crate::telemetry::trace::Tracing;
use crate::telemetry::{Audit, LogFormat, LogLevel, LogMetrics, Logging, start_logging};
use crate::tokens::Tokens;

/// The half of the work that a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Only {
    /// Serves links and sends no webhooks
    Gateway,
    /// Sends webhooks and serves no links
    Sender,
}

/// All services of the program.
pub(super) struct App {
    pub(super) config: Config,
    pub(super) keyring: ActiveKeyring,
    pub(super) tokens: Tokens,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) drain: Drain,
    pub(super) certificate: Option<Certificate>,
    pub(super) logging: Logging,
    pub(super) audit: Option<Audit>,
    pub(super) tracing: Option<Tracing>,
    pub(super) limits: Limits,
}

impl App {
    pub(super) fn new(
        config: Config,
        keyring: Keyring,
        logging: &Logging,
        metrics: Metrics,
    ) -> Result<Self, Failure> {
        let store = Store::open(&config.store, metrics.store.clone()).map_err(Failure::setting)?;
        let certificate =
            config.tls.clone().map(|files| Certificate::read(files, metrics.certificate.clone())).transpose();
        // Checked before the audit file is created.
        let certificate = certificate.map_err(Failure::setting)?;
        let audit = config.audit.as_ref().map(|audit| Audit::open(audit, &metrics.log)).transpose();
        let tracing =
            config.tracing.as_ref().map(|tracing| Tracing::start(tracing, metrics.trace.clone())).transpose();
        let tokens = Tokens::open(config.admin.token.clone(), config.admin.tokens_file.as_deref());
        Ok(Self {
            tokens: tokens.map_err(Failure::setting)?,
            tracing: tracing.map_err(Failure::failed)?,
            audit: audit.map_err(Failure::setting)?,
            certificate,
            keyring: ActiveKeyring::new(keyring, metrics.keyring.clone()),
            store,
            clock: Arc::new(SystemClock),
            logging: logging.clone(),
            metrics,
            drain: Drain::new(),
            limits: Limits::of(&config),
            config,
        })
    }
}

/// Starts the log, before any code that may log.
pub(super) fn start_log(
    format: LogFormat,
    level: LogLevel,
    metrics: &LogMetrics,
) -> Result<Logging, Failure> {
    start_logging(format, level, colour(), metrics).map_err(Failure::failed)
}

/// Whether to colour standard error (`NO_COLOR`, `CLICOLOR_FORCE`, a dumb terminal).
fn colour() -> bool {
    std::io::stderr().is_terminal()
        && anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}
