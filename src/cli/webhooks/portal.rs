//! `webhooks portal`: prints a link to the settings page.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::context::name;
use crate::Keyring;
use crate::cli::arguments::{Output, duration};
use crate::cli::command_action::CommandAction;
use crate::cli::command_trail::record_command;
use crate::cli::exit::{Exit, Failure};
use crate::clock::{Clock, SystemClock, UnixMillis};
use crate::config::Sources;
use crate::console::{Access, PERSON, PortalOptionError, PortalOptions, is_person, portal_link};

/// How long a link to the settings page may be valid.
const LONGEST_LINK: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Args)]
pub(crate) struct Portal {
    /// The workspace that the link opens
    #[arg(long, short, value_name = "NAME", value_parser = name, required_unless_present = "operator")]
    workspace: Option<String>,
    /// Allow playing recordings and reading transcripts
    #[arg(long)]
    listen: bool,
    /// Open every workspace with recordings and transcripts, for the operator
    #[arg(long, conflicts_with_all = ["workspace", "listen"])]
    operator: bool,
    /// The name of the person it is for, for the audit trail
    #[arg(long, value_name = "NAME", value_parser = person)]
    name: Option<String>,
    /// How long the link is valid; console.link_lifetime by default
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    product: Product,
    #[command(flatten)]
    output: Output,
}

/// What the link says of the product that it comes from.
#[derive(Debug, Args)]
struct Product {
    /// The page of your product to which the settings page leads back
    #[arg(long, value_name = "URL")]
    return_url: Option<String>,
    /// A site that may show the settings page in a frame, as https://app.example.com; at most 4
    #[arg(long, value_name = "ORIGIN", conflicts_with = "operator")]
    embed_origin: Vec<String>,
    /// The colour of buttons and links, as #4f46e5; darker or lighter where it could not be read
    #[arg(long, value_name = "COLOR")]
    color: Option<String>,
    /// The https URL of a logo
    #[arg(long, value_name = "URL")]
    logo_url: Option<String>,
}

impl Product {
    fn options(&self) -> Result<PortalOptions, Failure> {
        let refused =
            |flag: &'static str| move |error: PortalOptionError| Failure::Usage(format!("--{flag} {error}"));
        let mut options = PortalOptions::default();
        if let Some(url) = &self.return_url {
            options = options.with_return_url(url).map_err(refused("return-url"))?;
        }
        for origin in &self.embed_origin {
            options = options.with_embed_origin(origin).map_err(refused("embed-origin"))?;
        }
        if let Some(color) = &self.color {
            options = options.with_color(color).map_err(refused("color"))?;
        }
        if let Some(url) = &self.logo_url {
            options = options.with_logo_url(url).map_err(refused("logo-url"))?;
        }
        Ok(options)
    }
}

impl Portal {
    pub(super) fn run(self, sources: &Sources) -> Exit {
        let (config, listen, keys) = sources.read_for_portal()?;
        let keyring = Keyring::read(&keys).map_err(Failure::setting)?;
        let origin = match &config.url {
            Some(url) => url.as_str().to_owned(),
            None => own_address(listen)?,
        };
        let access = match &self.workspace {
            Some(workspace) => Access::of_workspace(workspace, self.listen),
            None => Access::operator(),
        };
        let access = Access { name: self.name, options: self.product.options()?, ..access };
        let lifetime = self.expires_in.unwrap_or(config.link_lifetime);
        let link =
            portal_link(&origin, &keyring, &access, lifetime, SystemClock.now()).map_err(Failure::failed)?;
        let after = match &self.workspace {
            Some(_) => json!({"name": access.name, "listen": self.listen}),
            None => json!({"name": access.name, "operator": true}),
        };
        let workspace = self.workspace.as_deref();
        let made = CommandAction { name: "portal_link.made", workspace, subject: None, after: Some(after) };
        record_command(sources, made);
        let expires_at = || UnixMillis::from(link.expires_at).to_string();
        self.output.print(
            || json!({"url": link.as_str(), "expires_at": expires_at()}),
            || format!("{}\n", link.as_str()),
        )
    }
}

/// A link for `demo`: it opens a workspace with its recordings, once, within a day.
pub(crate) fn sign_in_link(
    admin: SocketAddr,
    keyring: &Keyring,
    workspace: &str,
) -> Result<Option<String>, Failure> {
    let access = Access::of_workspace(workspace, true);
    let (origin, now) = (format!("http://{admin}"), SystemClock.now());
    let link = portal_link(&origin, keyring, &access, LONGEST_LINK, now).map_err(Failure::failed)?;
    Ok(Some(link.as_str().to_owned()))
}

fn person(text: &str) -> Result<String, String> {
    is_person(text).then(|| text.to_owned()).ok_or_else(|| format!("takes {PERSON}"))
}

/// The address at which this machine reaches the admin listener.
fn own_address(listen: SocketAddr) -> Result<String, Failure> {
    if listen.port() == 0 || listen.ip().is_unspecified() {
        return Err(Failure::Setting(
            "console.url: not set (WEBHOOK_ASSETS_CONSOLE_URL); takes the URL before /console under which people reach the \
             settings page, because admin.listen is no address that a link could name"
                .to_owned(),
        ));
    }
    Ok(format!("http://{listen}"))
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration(text)?;
    let fits = (Duration::from_secs(1)..=LONGEST_LINK).contains(&lifetime);
    if fits { Ok(lifetime) } else { Err("takes a duration from 1s to 24h".to_owned()) }
}
