//! `serve`: the composition root.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::{Ended, Failure};
use crate::admin::{self, Admin};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Sources};
use crate::gateway::Gateway;
use crate::keys::{self, KeyringInForce};
use crate::server::{self, Drain};
use crate::signed_url::{Keyring, SigningKey};
use crate::store::{self, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::start_logging;

/// Exit codes after a second signal, as shells count: 128 and the signal's number.
const INTERRUPTED: i32 = 128 + 2;
const TERMINATED: i32 = 128 + 15;

pub(super) fn run(sources: &Sources) -> Ended {
    let config = sources.read()?;
    start_logging(config.log_format, config.log_level, colour());
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for name in store::unknown_variables(&config.store) {
        tracing::warn!("the variable {name} is no setting of this store; is it misspelt?");
    }
    let keyring = Keyring::read(&config.keys).map_err(Failure::setting)?;
    if keys::is_exposed(&config.keys).unwrap_or(false) {
        tracing::warn!(path = %config.keys.display(), "other users may read the keyring; chmod 600 it");
    }
    let keyring_file = Some(config.keys.clone());
    serve(&Services::new(config, keyring)?, keyring_file, |_| Ok(()))
}

/// Whether the user's settings allow colours (`NO_COLOR`, `CLICOLOR_FORCE`, a dumb terminal).
pub(super) fn colour() -> bool {
    std::io::stderr().is_terminal()
        && anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Everything that runs, put together.
pub(super) struct Services {
    pub(super) config: Config,
    pub(super) keyring: KeyringInForce,
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    drain: Drain,
}

impl Services {
    pub(super) fn new(config: Config, keyring: Keyring) -> Result<Self, Failure> {
        let metrics = Metrics::new();
        let store = Store::open(&config.store, metrics.clone()).map_err(Failure::setting)?;
        Ok(Self {
            keyring: KeyringInForce::new(keyring, metrics.clone()),
            store,
            clock: Arc::new(SystemClock),
            metrics,
            drain: Drain::new(),
            config,
        })
    }

    fn gateway(&self) -> Gateway {
        let (clock, metrics) = (Arc::clone(&self.clock), self.metrics.clone());
        Gateway::new(&self.config.gateway, self.keyring.clone(), self.store.clone(), clock, metrics)
    }

    fn admin(&self) -> Admin {
        let services = admin::Services {
            base: self.config.public_url.clone(),
            longest_lifetime: self.config.longest_lifetime,
            keyring: self.keyring.clone(),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            drain: self.drain.clone(),
            metrics: self.metrics.clone(),
        };
        Admin::new(self.config.admin.clone(), services)
    }
}

/// The addresses that were bound.
pub(super) struct Bound {
    pub(super) gateway: SocketAddr,
}

/// Serves until a signal says stop. `when_bound` runs once both listeners are open.
pub(super) fn serve(
    services: &Services,
    keyring_file: Option<PathBuf>,
    when_bound: impl FnOnce(&Bound) -> Result<(), Failure>,
) -> Ended {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::failed)?;
    runtime.block_on(async {
        let mut signals = Signals::new().map_err(Failure::failed)?;
        let gateway = bind("listen", services.config.listen).await?;
        let admin = bind("admin.listen", services.config.admin.listen).await?;
        let bound = Bound { gateway: local(&gateway)? };
        announce("gateway", bound.gateway)?;
        announce("admin", local(&admin)?)?;
        when_bound(&bound)?;
        log_start(services);

        let connections = services.config.server.clone();
        tokio::spawn(server::serve(gateway, connections.clone(), services.gateway(), services.drain.clone()));
        // The admin listener keeps answering while downloads finish: `/readyz` has to say that we are stopping.
        let admin_drain = Drain::new();
        tokio::spawn(server::serve(admin, connections.clone(), services.admin(), admin_drain.clone()));
        if let Some(path) = keyring_file {
            let reload = Arc::new(Notify::new());
            tokio::spawn(services.keyring.clone().watch(path, Arc::clone(&reload)));
            tokio::spawn(pass_on(signals.reload, reload));
        }

        signals.stop.received().await;
        tracing::info!(deadline = %humantime::format_duration(connections.drain_timeout), "stopping: no new connections, downloads in flight go on");
        let finish = async {
            let left = services.drain.finish(connections.drain_timeout).await;
            admin_drain.finish(Duration::from_millis(100)).await;
            left
        };
        tokio::select! {
            left = finish => log_stop(left),
            code = signals.stop.received() => {
                tracing::warn!("stopped at once by a second signal");
                std::process::exit(code);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Failed(format!("{key}: {address} cannot be listened on: {error}; stop what uses it or choose another port (0 takes any)"))
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(Failure::failed)
}

/// Says on standard output where a listener really is, for people and for scripts that asked for port 0.
fn announce(name: &str, address: SocketAddr) -> Result<(), Failure> {
    super::print(&format!("{name} listening on http://{address}\n")).map(|_| ())
}

fn log_start(services: &Services) {
    let now = services.clock.now();
    let keyring = services.keyring.load();
    let signer = keyring.signing_key(now, now.plus(services.config.longest_lifetime)).map(SigningKey::id);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        public_url = %services.config.public_url,
        store = ?services.config.store.url,
        keys = %keyring,
        signs = signer.map(|id| id.as_ref()),
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
            tracing::warn!(connections = left, "stopped; the deadline broke off what was still in flight");
        }
    }
}

async fn pass_on(mut hangup: Signal, reload: Arc<Notify>) {
    while hangup.recv().await.is_some() {
        reload.notify_one();
    }
}

/// The signals that mean something.
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
    /// Waits for one; returns the exit code if it is to end the program at once.
    async fn received(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => TERMINATED,
            _ = self.interrupt.recv() => INTERRUPTED,
        }
    }
}
