//! `serve`: builds all services, runs them, and stops them in order.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::app::{App, Only, start_log};
use super::exit::{Exit, FLUSH_TIMEOUT, Failure};
use super::listeners::{Listeners, announce, local};
use super::reload::Reload;
use super::sender::SenderPart;
use super::{fd_limit, malloc_trim};
use crate::admin::{self, Admin};
use crate::cli::metrics::Metrics;
use crate::clock::{format_exact, running};
use crate::config::{Config, Sources};
use crate::gateway::Gateway;
use crate::keys;
use crate::server::{Drain, Server, Threads};
use crate::signed_url::{Keyring, SigningKey};
use crate::store;
use crate::tasks::{self, Task};
use crate::telemetry::{Logging, RequestLogs};

/// Exit codes after a second signal, as in shells: 128 plus the signal's number.
const INTERRUPTED: u8 = 128 + 2;
const TERMINATED: u8 = 128 + 15;

/// Like [`FLUSH_TIMEOUT`], after a second signal.
const SHORT_FLUSH_TIMEOUT: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Run only the gateway or only the sender
    #[arg(long, value_enum, value_name = "HALF")]
    only: Option<Only>,
}

impl Serve {
    pub(super) fn run(&self, sources: &Sources) -> Exit {
        run(sources, self.only)
    }
}

fn run(sources: &Sources, only: Option<Only>) -> Exit {
    let config = sources.read()?;
    let metrics = Metrics::default();
    let logging = start_log(config.log_format, config.log_level, &metrics.log)?;
    // Flushes the log before the program reports the error and exits.
    run_logged(config, sources, only, &logging, metrics).inspect_err(|_| logging.flush(FLUSH_TIMEOUT))
}

fn run_logged(
    mut config: Config,
    sources: &Sources,
    only: Option<Only>,
    logging: &Logging,
    metrics: Metrics,
) -> Exit {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for name in store::unknown_variables(&config.store) {
        tracing::warn!("the variable {name} is not a setting of this store; is it misspelt?");
    }
    fd_limit::lower_connections(&mut config);
    let keyring = Keyring::read(&config.keys).map_err(Failure::setting)?;
    for (what, path) in config.private_files() {
        if keys::is_exposed(&path).unwrap_or(false) {
            tracing::warn!(path = %path.display(), "other users may read {what}; chmod 600 it");
        }
    }
    for folder in config.store.url.folder().map(store::unusable_folders).unwrap_or_default() {
        tracing::warn!(folder = %folder.display(), "this is no folder, or a symlink, so everything in it is 404; see `check`");
    }
    SenderPart::check(&config, only)?;
    let reloaded = Some((sources.clone(), logging.clone()));
    serve(&App::new(config, keyring, logging, metrics)?, only, reloaded, async |_| Ok(()))
}

impl App {
    /// Builds the gateway. It records downloads in the sender's database, if there is one.
    fn gateway(&self, sender: &SenderPart) -> Gateway {
        let (clock, metrics) = (Arc::clone(&self.clock), self.metrics.requests.clone());
        let gateway =
            Gateway::new(&self.config.gateway, self.keyring.clone(), self.store.clone(), clock, metrics)
                .with_logs(RequestLogs {
                    access: Some(self.logging.access_log()),
                    audit: self.audit.clone(),
                    traces: self.tracing.clone(),
                });
        sender.record_downloads(self, gateway)
    }

    /// Serves links on threads, which end when the returned value is dropped.
    fn serve_links(&self, sender: &SenderPart, listener: TcpListener) -> std::io::Result<Threads> {
        let server = Server::new(self.config.server.clone(), self.gateway(sender), self.drain.clone());
        let server = server.counting(self.metrics.connections.clone()).with_tls(self.certificate.clone());
        let server = server.with_reload(self.limits.gateway.subscribe());
        tasks::supervise(Task::MemoryTrim, self.metrics.connections.clone(), |connections| {
            Box::pin(malloc_trim::trim_after_peaks(connections))
        });
        server.serve_on_threads(&listener.into_std()?, self.config.threads)
    }

    fn admin(&self, sender: &SenderPart) -> Admin {
        let services = admin::Services {
            base: self.config.public_url.clone(),
            longest_lifetime: self.config.longest_lifetime,
            keyring: self.keyring.clone(),
            store: self.store.clone(),
            tokens: self.tokens.clone(),
            clock: Arc::clone(&self.clock),
            drain: self.drain.clone(),
            registry: self.metrics.registry.clone(),
            audit: self.audit.clone(),
            refusals: self.metrics.refusals.clone(),
            #[cfg(feature = "sender")]
            sender: sender.sender().cloned(),
        };
        #[cfg(not(feature = "sender"))]
        let SenderPart = sender;
        Admin::new(
            #[cfg(feature = "console")]
            self.config.admin.console.clone(),
            services,
        )
    }
}

impl App {
    /// Rereads the keyring, the tokens and the certificate when their files change. SIGHUP rereads all and the settings,
    /// and reopens the audit file.
    fn watch_files(&self, sources: Sources, logging: Logging, hangup: Signal) {
        let watchers = [Arc::default(), Arc::default(), Arc::default()];
        let [reload_keys, reload_tokens, reload_certificate]: [Arc<Notify>; 3] = watchers.clone();
        let keyring = (self.keyring.clone(), self.config.keys.clone(), reload_keys);
        tasks::supervise(Task::KeyringWatch, keyring, |(keyring, path, reload)| {
            Box::pin(keyring.watch(path, reload))
        });
        let tokens = (self.tokens.clone(), reload_tokens);
        tasks::supervise(Task::TokensWatch, tokens, |(tokens, reload)| Box::pin(tokens.watch(reload)));
        if let Some(certificate) = self.certificate.clone() {
            let certificate = (certificate, reload_certificate);
            tasks::supervise(Task::CertificateWatch, certificate, |(certificate, reload)| {
                Box::pin(certificate.watch(reload))
            });
        }
        let reload = Reload {
            sources,
            config: self.config.clone(),
            logging,
            limits: self.limits.clone(),
            metrics: self.metrics.clone(),
            audit: self.audit.clone(),
            watchers,
            hangup,
        };
        tasks::supervise(Task::Reload, reload, |reload| Box::pin(reload.at_each()));
    }

    /// Announces the stop on /readyz, so that load balancers send new requests elsewhere, and keeps serving until the
    /// delay is over. A second signal ends the delay; its exit code is the error.
    async fn announce_stop(&self, second: &mut StopSignals) -> Result<(), u8> {
        self.drain.announce();
        let delay = self.limits.gateway.borrow().drain_delay;
        if delay.is_zero() {
            return Ok(());
        }
        let written = format_exact(delay);
        tracing::info!(delay = %written, "stopping soon: /readyz says so, and connections are accepted until then");
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            code = second.received() => Err(code),
        }
    }
}

/// Serves until a stop signal. Calls `when_running` with the sender once every listener is open.
pub(super) fn serve(
    app: &App,
    only: Option<Only>,
    reloaded: Option<(Sources, Logging)>,
    when_running: impl AsyncFnOnce(&SenderPart) -> Result<(), Failure>,
) -> Exit {
    running::watch(|pause| {
        let pause = format_exact(pause);
        tracing::warn!(%pause, "the process was frozen; deadlines count only the time in which it ran");
    })
    .map_err(Failure::failed)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(run_until_stopped(app, only, reloaded, when_running));
    // Requests that are still in flight end here and are recorded.
    let timeout = if matches!(ended, Ok(Shutdown::AtOnce(_))) { SHORT_FLUSH_TIMEOUT } else { FLUSH_TIMEOUT };
    runtime.shutdown_timeout(timeout);
    if let Some(audit) = &app.audit
        && !audit.flush(timeout)
    {
        tracing::error!("audit records were lost: their file cannot be written");
    }
    if let Some(tracing) = &app.tracing
        && !tracing.flush(timeout)
    {
        tracing::warn!(
            "the last spans were lost: the collector of tracing.endpoint did not take them in time"
        );
    }
    let code = match ended? {
        Shutdown::Drained(left) => {
            log_stop(left);
            ExitCode::SUCCESS
        }
        Shutdown::AtOnce(code) => {
            tracing::warn!("stopped at once by a second signal");
            ExitCode::from(code)
        }
    };
    app.logging.flush(timeout);
    Ok(code)
}

/// How the program stopped.
enum Shutdown {
    /// After draining; contains the number of connections that were still open.
    Drained(usize),
    /// Immediately, on a second signal, with this exit code.
    AtOnce(u8),
}

async fn run_until_stopped(
    app: &App,
    only: Option<Only>,
    reloaded: Option<(Sources, Logging)>,
    when_running: impl AsyncFnOnce(&SenderPart) -> Result<(), Failure>,
) -> Result<Shutdown, Failure> {
    let mut signals = Signals::new()?;
    let mut sender = SenderPart::open(app, only).await?;
    let mut listeners = Listeners::new();
    let gateway = match only {
        Some(Only::Sender) => None,
        _ => Some(listeners.next("listen", app.config.listen).await?),
    };
    let admin = listeners.next("admin.listen", app.config.admin.listen).await?;
    let address = gateway.as_ref().map(local).transpose()?;
    let scheme = if app.certificate.is_some() { "https" } else { "http" };
    announce(address.map(|address| (scheme, address)), local(&admin)?);
    log_start(app, &sender);

    let threads = gateway.map(|listener| app.serve_links(&sender, listener));
    let _threads = threads.transpose()?;
    // The admin listener keeps answering while downloads finish, because `/readyz` has to report the stop.
    let admin_drain = Drain::new();
    let answers = app.admin(&sender);
    let limits = app.config.of_admin_connections();
    let server = Server::new(limits, answers, admin_drain.clone());
    let server =
        server.evicting(app.metrics.admin_connections.clone()).with_reload(app.limits.admin.subscribe());
    let admin = admin.into_std()?;
    tasks::supervise(Task::AcceptLoop, (server, admin), |(server, admin)| Box::pin(server.serve_on(admin)));
    sender.start();
    if let Some((sources, logging)) = reloaded {
        app.watch_files(sources, logging, signals.reload);
    }
    when_running(&sender).await?;

    signals.stop.received().await;
    if let Err(code) = app.announce_stop(&mut signals.stop).await {
        return Ok(Shutdown::AtOnce(code));
    }
    let drain_timeout = app.limits.gateway.borrow().drain_timeout;
    app.drain.begin();
    tracing::info!(deadline = %format_exact(drain_timeout), "stopping: no new requests are accepted, those in flight continue");
    let finish = async {
        let ((), left) = tokio::join!(sender.stop(drain_timeout), app.drain.finish(drain_timeout));
        admin_drain.finish(Duration::from_millis(100)).await;
        sender.close().await;
        left
    };
    tokio::select! {
        left = finish => Ok(Shutdown::Drained(left)),
        code = signals.stop.received() => Ok(Shutdown::AtOnce(code)),
    }
}

fn log_start(app: &App, sender: &SenderPart) {
    let now = app.clock.now();
    let keyring = app.keyring.load();
    let signer = keyring.signing_key(now, now.plus(app.config.longest_lifetime)).map(SigningKey::id);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        public_url = %app.config.public_url,
        store = ?app.config.store.url,
        keys = %keyring,
        signs = signer.map(|id| id.as_ref()),
        webhooks = sender.database(&app.config),
        "serving"
    );
    if signer.is_none() {
        tracing::error!("no key of the ring can sign a link of full length now; links verify, minting fails");
    }
}

fn log_stop(left: usize) {
    match left {
        0 => tracing::info!("stopped; every download in flight was completed"),
        left => {
            tracing::warn!(
                connections = left,
                "stopped; the deadline ended connections with requests in flight"
            );
        }
    }
}

/// The signals that the program handles.
struct Signals {
    stop: StopSignals,
    reload: Signal,
}

struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            stop: StopSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            reload: signal(SignalKind::hangup())?,
        })
    }
}

impl StopSignals {
    /// Waits for a stop signal; returns the exit code of an immediate stop.
    async fn received(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => TERMINATED,
            _ = self.interrupt.recv() => INTERRUPTED,
        }
    }
}
