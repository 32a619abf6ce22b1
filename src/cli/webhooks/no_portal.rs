//! Replaces `webhooks portal` in a build without the settings page.

use clap::Args;

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
