//! `demo`: serves the sample call that is part of the program, with a temporary key, and sends its webhook to a receiver
//! of the demo. It needs no files and no settings.

use std::net::{SocketAddr, TcpListener};

use clap::Args;
use tempfile::TempDir;

use super::app::{App, start_log};
use super::arguments::with_flag;
use super::demo_report::{ADMIN_PORT, DemoReport};
use super::exit::{Exit, Failure, print};
use super::listeners::reachable;
use super::metrics::Metrics;
use super::random::fresh_key;
use super::sender::{DEMO_WORKSPACE, SenderPart, demo_settings, send_sample, sign_in_link};
use super::serve::serve;
use crate::SecretKey;
use crate::config::Sources;
use crate::signed_url::Keyring;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where to serve links (WEBHOOK_ASSETS_LISTEN), 127.0.0.1:8080 by default. The settings page gets port 8081 of the
    /// same address, or a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Demo {
    pub(super) fn run(self, sources: Sources) -> Exit {
        let listen = self.listen.map(|listen| listen.to_string());
        let listen = with_flag(sources, "WEBHOOK_ASSETS_LISTEN", listen).read_for_demo()?;
        let addresses = Addresses::choose(listen)?;
        let temporary = temporary_folder()?;
        let config = Sources::of(None, settings(&addresses, &temporary)?).read()?;
        let metrics = Metrics::default();
        let logging = start_log(config.log_format, config.log_level, &metrics.log)?;
        let keyring = Keyring::of_one("demo", SecretKey::from_hex(&fresh_key()?).map_err(Failure::failed)?);
        let app = App::new(config, keyring.clone(), &logging, metrics)?;
        serve(&app, None, None, async move |sender: &SenderPart| {
            let report = DemoReport {
                gateway: addresses.gateway,
                admin: addresses.admin,
                webhook: send_sample(sender).await?,
                page: sign_in_link(reachable(addresses.admin), &keyring, DEMO_WORKSPACE)?,
            };
            print(&report.text(&keyring)?).map(|_| ())
        })
    }
}

/// The addresses of the two listeners.
struct Addresses {
    gateway: SocketAddr,
    admin: SocketAddr,
}

impl Addresses {
    /// Chooses them before anything listens, because links contain the ports.
    fn choose(listen: SocketAddr) -> Result<Self, Failure> {
        // Both stay bound until both are chosen, so that they differ.
        let gateway = TcpListener::bind(listen).map_err(|error| cannot_listen(listen, &error))?;
        let port = if listen.port() == 0 { 0 } else { ADMIN_PORT };
        let admin =
            TcpListener::bind((listen.ip(), port)).or_else(|_| TcpListener::bind((listen.ip(), 0)))?;
        Ok(Self { gateway: gateway.local_addr()?, admin: admin.local_addr()? })
    }
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> Failure {
    let free = SocketAddr::new(listen.ip(), 0);
    Failure::Failed(match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "port {} is in use by another program (another demo?): stop that one, or take a free port with \
             `demo --listen {free}`",
            listen.port()
        ),
        _ => format!("{listen} cannot be listened on: {error}; choose another address with --listen"),
    })
}

/// A folder for the database. In a container whose root file system is read-only, `/dev/shm` is writable.
fn temporary_folder() -> Result<TempDir, Failure> {
    tempfile::tempdir().or_else(|_| tempfile::tempdir_in("/dev/shm")).map_err(|error| {
        Failure::Failed(format!(
            "the demo cannot make a temporary folder: {error}; name a writable one with TMPDIR, or mount one \
             (docker run --tmpfs /tmp)"
        ))
    })
}

fn settings(addresses: &Addresses, temporary: &TempDir) -> Result<Vec<(String, String)>, Failure> {
    let Addresses { gateway, admin } = addresses;
    let mut variables = demo_settings(temporary.path());
    variables.extend([
        ("WEBHOOK_ASSETS_LISTEN", gateway.to_string()),
        ("WEBHOOK_ASSETS_ADMIN_LISTEN", admin.to_string()),
        ("WEBHOOK_ASSETS_PUBLIC_URL", format!("http://{}", reachable(*gateway))),
        // The sample call is part of every store.
        ("WEBHOOK_ASSETS_STORE", "memory:///".to_owned()),
        ("WEBHOOK_ASSETS_KEYS", "none".to_owned()),
        // The demo says what happens; log events would repeat it.
        ("WEBHOOK_ASSETS_LOG_LEVEL", "warn".to_owned()),
    ]);
    if !admin.ip().is_loopback() {
        // Other machines reach the API then, so it takes a token that exists only here. The page needs none.
        let file = temporary.path().join("token");
        std::fs::write(&file, fresh_key()?.as_bytes())?;
        variables.push(("WEBHOOK_ASSETS_ADMIN_TOKEN_FILE", file.display().to_string()));
    }
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
