//! Replaces `webhooks portal` in a build without the settings page.

use std::net::SocketAddr;

use clap::Args;

use crate::Keyring;
use crate::cli::exit::{Exit, Failure};
use crate::config::Sources;

#[derive(Debug, Args)]
pub(crate) struct Portal {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

impl Portal {
    pub(super) fn run(self, _sources: &Sources) -> Exit {
        let Self { arguments: _ } = self;
        Err(Failure::Usage("this build has no settings page; build it with the feature `console`".to_owned()))
    }
}

/// Replaces the link that `demo` prints.
#[expect(clippy::unnecessary_wraps, reason = "as the settings page's")]
pub(crate) fn sign_in_link(
    _admin: SocketAddr,
    _keyring: &Keyring,
    _workspace: &str,
) -> Result<Option<String>, Failure> {
    Ok(None)
}
