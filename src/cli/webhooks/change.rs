//! `webhooks change`: changes the URL, the description and the limits of an endpoint.

use clap::Args;

use super::context::{CommandContext, EndpointId};
use super::endpoints::{change_endpoint, description};
use crate::admin::endpoint_to_json;
use crate::cli::arguments::Output;
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::ledger::EndpointChange;
use crate::webhook::{EndpointUrl, HeaderChanges, UrlRules};

/// What a limit takes for no limit.
const NONE: &str = "none";

#[derive(Debug, Args)]
#[group(id = "changes", required = true, multiple = true, args = ["url", "description", "long_tail", "concurrency", "per_second"])]
pub(crate) struct Change {
    #[command(flatten)]
    endpoint: EndpointId,
    /// Send to this URL from now on. Headers of the old URL are removed: set them again
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The description for people
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<String>,
    /// Whether to retry for a day after the first four attempts
    #[arg(long, value_name = "BOOL")]
    long_tail: Option<bool>,
    /// The attempts at once of each process, 1 to 1000; `none` for adaptive, up to webhooks.attempts_per_endpoint
    #[arg(long, value_name = "NUMBER", value_parser = limit)]
    concurrency: Option<Limit>,
    /// The attempts a second of each process, 1 to 1000; `none` for no limit
    #[arg(long, value_name = "NUMBER", value_parser = limit)]
    per_second: Option<Limit>,
    /// Change the URL although another endpoint of the workspace has it
    #[arg(long, requires = "url")]
    allow_duplicate: bool,
    #[command(flatten)]
    output: Output,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<u32>);

impl Change {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let rules = UrlRules { allow_http: context.config.allow_http, networks: &context.config.networks };
        let checked =
            |url: String| EndpointUrl::parse_entered(&url, &rules).map(|url| url.as_str().to_owned());
        let change = EndpointChange {
            url: self.url.map(checked).transpose().map_err(Failure::failed)?,
            description: self.description,
            state: None,
            long_tail: self.long_tail,
            late_assets: None,
            concurrency: self.concurrency.map(|Limit(limit)| limit),
            per_second: self.per_second.map(|Limit(limit)| limit),
            filter: None,
            allow_duplicate: self.allow_duplicate,
            headers: HeaderChanges::default(),
        };
        let changed = change_endpoint(context, &self.endpoint, change).await?;
        self.output.print(
            || endpoint_to_json(&changed),
            || format!("changed {}: it sends to {}\n", changed.id, escaped(&changed.url)),
        )
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    if text == NONE {
        return Ok(Limit(None));
    }
    let limit = text.parse().ok().filter(|limit| (1..=1_000).contains(limit));
    limit.map(|limit| Limit(Some(limit))).ok_or_else(|| format!("takes a number from 1 to 1000, or {NONE}"))
}
