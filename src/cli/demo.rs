//! `demo`: serves the sample call from local files with a temporary key, and sends a webhook about it to a receiver of
//! the demo.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::app::{App, start_log};
use super::exit::{Exit, Failure, print};
use super::keys::fresh_key;
use super::listeners::reachable;
use super::metrics::Metrics;
use super::sample_call::SAMPLE_CALL;
use super::sender::{demo_settings, show_webhook};
use super::serve::{Running, serve};
use crate::SecretKey;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::config::Sources;
use crate::signed_url::{DEFAULT_LONGEST_LIFETIME, Keyring, Minter};

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder with the sample call
    #[arg(long, value_name = "FOLDER", default_value = "fixtures")]
    fixtures: PathBuf,
}

impl Demo {
    pub(super) fn run(self) -> Exit {
        let sample = self.fixtures.join(AssetRef::recording(SAMPLE_CALL).object_path());
        let folder = std::fs::canonicalize(&self.fixtures).ok().filter(|_| sample.is_file()).ok_or_else(|| {
            Failure::Failed(format!(
                "there is no sample call in {}; run this in the project's folder, or name its fixtures with --fixtures",
                self.fixtures.display()
            ))
        })?;
        let store = url::Url::from_directory_path(&folder)
            .map_err(|()| Failure::Failed(format!("{} cannot be written as a URL", folder.display())))?;
        let listen = with_port(self.listen)?;
        let temporary = tempfile::tempdir()?;
        let mut variables = demo_settings(temporary.path());
        variables.extend([
            ("WEBHOOK_ASSETS_LISTEN", listen.to_string()),
            ("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("WEBHOOK_ASSETS_PUBLIC_URL", format!("http://{}", reachable(listen))),
            ("WEBHOOK_ASSETS_STORE", store.to_string()),
            ("WEBHOOK_ASSETS_KEYS", "none".to_owned()),
            // The demo prints each step; log events would repeat them.
            ("WEBHOOK_ASSETS_LOG_LEVEL", "warn".to_owned()),
        ]);
        let environment = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let config = Sources::of(None, environment).read()?;
        let metrics = Metrics::default();
        let logging = start_log(config.log_format, config.log_level, &metrics.log)?;
        let secret = SecretKey::from_hex(&fresh_key()?).map_err(Failure::failed)?;
        let keyring = Keyring::of_one("demo", secret);
        serve(
            &App::new(config, keyring.clone(), &logging, metrics)?,
            None,
            None,
            async move |running: &Running<'_>| {
                show_webhook(running.sender).await?;
                show_links(reachable(running.gateway.unwrap_or(listen)), &keyring)
            },
        )
    }
}

/// Replaces port 0 by a free port, because links contain the port before anything listens on it.
fn with_port(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let free = std::net::TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    free.map_err(|error| Failure::Failed(format!("{listen} cannot be listened on: {error}")))
}

/// Prints two valid links and an expired one.
fn show_links(address: SocketAddr, keyring: &Keyring) -> Result<(), Failure> {
    let minter = Minter::new(&format!("http://{address}"), keyring.clone()).map_err(Failure::failed)?;
    let now = SystemClock.now();
    let link = |kind, now| {
        let asset = AssetRef { kind, id: SAMPLE_CALL };
        minter.mint_at(asset, DEFAULT_LONGEST_LIFETIME, now).map_err(Failure::failed)
    };
    let recording = link(AssetKind::Recording, now)?;
    let transcript = link(AssetKind::Transcript, now)?;
    let old = UnixSeconds(
        now.0.saturating_sub(DEFAULT_LONGEST_LIFETIME.as_secs() + 3 * Duration::from_secs(3_600).as_secs()),
    );
    let expired = link(AssetKind::Recording, old)?;
    print(&format!(
        "\n\
         The recording (an MP3; paste the link into a browser to listen and seek):\n  \
         curl -o recording.mp3 '{recording}'\n\n\
         Its transcript:\n  \
         curl '{transcript}'\n\n\
         A link that expired three hours ago, and what its holder is told:\n  \
         curl -i '{expired}'\n\n\
         Stop with Ctrl-C; the key is then gone, and the links with it.\n\n"
    ))
    .map(|_| ())
}
