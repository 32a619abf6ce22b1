//! What `demo` prints: what happened, links to try, and the commands that come next.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::Style;

use super::exit::Failure;
use super::listeners::reachable;
use crate::asset::AssetRef;
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::signed_url::{DEFAULT_LONGEST_LIFETIME, Keyring, Minter, SignedUrl};
use crate::store::SAMPLE;

const BOLD: Style = Style::new().bold();

/// The port of the admin listener, if it is free.
pub(super) const ADMIN_PORT: u16 = 8081;

/// The default of the setting `listen`.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// What a running demo can show.
pub(super) struct DemoReport {
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
    /// What happened to the webhook; `None` in a build without the sender.
    pub(super) webhook: Option<String>,
    /// A link to the settings page; `None` in a build without it.
    pub(super) page: Option<String>,
}

impl DemoReport {
    /// All of it, with links that `keyring` signs.
    pub(super) fn text(&self, keyring: &Keyring) -> Result<String, Failure> {
        let mut text = String::new();
        if let Some(webhook) = &self.webhook {
            let _ = write!(text, "\n{BOLD}A call has ended, and its webhook was sent:{BOLD:#}\n{webhook}");
        }
        if let Some(page) = &self.page {
            let _ = write!(
                text,
                "\n{BOLD}The settings page with this delivery (for a browser; the link signs in once):{BOLD:#}\n  {page}\n"
            );
        }
        text.push_str(&self.links(keyring)?);
        text.push_str(&self.next());
        Ok(text)
    }

    /// Two links that work, and an expired one.
    fn links(&self, keyring: &Keyring) -> Result<String, Failure> {
        let base = format!("http://{}", reachable(self.gateway));
        let minter = Minter::new(&base, keyring.clone()).map_err(Failure::failed)?;
        let now = SystemClock.now();
        let mint = |asset, now| -> Result<SignedUrl, Failure> {
            minter.mint_at(asset, DEFAULT_LONGEST_LIFETIME, now).map_err(Failure::failed)
        };
        let (recording, transcript) = (AssetRef::recording(SAMPLE), AssetRef::transcript(SAMPLE));
        let three_hours = Duration::from_secs(3 * 3_600);
        let old = now.0.saturating_sub((DEFAULT_LONGEST_LIFETIME + three_hours).as_secs());
        Ok(format!(
            "\n{BOLD}Recording (a browser plays it), transcript, and a link that expired 3 h ago:{BOLD:#}\n  \
             curl -o recording.mp3 '{}'\n  curl '{}'\n  curl -i '{}'\n",
            mint(recording, now)?,
            mint(transcript, now)?,
            mint(recording, UnixSeconds(old))?,
        ))
    }

    /// The commands that lead from the demo to a server with its user's calls.
    fn next(&self) -> String {
        let heading = format!(
            "\n{BOLD}Next, after Ctrl-C (which ends the links above): your key, settings, server:{BOLD:#}"
        );
        if std::process::id() == 1 {
            // The image has no shell in which the commands could run.
            return format!(
                "{heading}\n  the commands at the head of the Dockerfile make a key and serve your own calls\n"
            );
        }
        let program = program();
        format!(
            "{heading}\n  \
             {program} keys new --keys keys.json\n  \
             mkdir -p calls/recordings calls/transcripts\n  \
             export WEBHOOK_ASSETS_KEYS=keys.json WEBHOOK_ASSETS_STORE=\"file://$PWD/calls\"\n  \
             export WEBHOOK_ASSETS_PUBLIC_URL=http://{}{}\n  \
             {program} check\n  \
             {program} serve\n",
            reachable(self.gateway),
            self.other_addresses(),
        )
    }

    /// The variables for addresses that are not the default ones: those were taken when the demo began.
    fn other_addresses(&self) -> String {
        let mut variables = String::new();
        if self.gateway.to_string() != DEFAULT_LISTEN {
            let _ = write!(variables, "\n  export WEBHOOK_ASSETS_LISTEN={}", self.gateway);
        }
        if self.admin.port() != ADMIN_PORT {
            let _ = write!(variables, "\n  export WEBHOOK_ASSETS_ADMIN_LISTEN={}", reachable(self.admin));
        }
        variables
    }
}

/// The program as its user has called it, quoted for a shell.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "webhook-assets".to_owned());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if called.chars().all(is_plain) { called } else { format!("'{}'", called.replace('\'', r"'\''")) }
}
