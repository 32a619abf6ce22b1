//! `tokens new|list|revoke`: makes and revokes the named tokens of the private listener.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::arguments::{Output, with_flag};
use super::command_action::CommandAction;
use super::command_trail::record_command;
use super::exit::{Exit, Failure};
use super::terminal::escaped;
use crate::admin::token_to_json;
use crate::clock::{Clock, SystemClock};
use crate::config::Sources;
use crate::tokens::{Scope, TokenEntry, TokensError, TokensFile, edit_file, is_token_name};

#[derive(Debug, Subcommand)]
pub(super) enum Tokens {
    /// Make a token and print it once; the file keeps only its hash
    New(New),
    /// List names, scopes and workspaces, never the tokens
    List(List),
    /// Revoke a token; running programs refuse it within a second
    Revoke(Revoke),
}

#[derive(Debug, Clone, Args)]
struct TokensPath {
    /// The tokens file (WEBHOOK_ASSETS_ADMIN_TOKENS_FILE)
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// The token's name, as the audit trail shows it
    #[arg(value_parser = name)]
    name: String,
    /// What it allows: mint, calls, read, endpoints, portal, erase, operate
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true, value_parser = scope)]
    scopes: Vec<Scope>,
    /// The workspaces in which it allows that; all by default
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    workspaces: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    path: TokensPath,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    path: TokensPath,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The token's name
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    path: TokensPath,
}

impl Tokens {
    pub(super) fn run(self, sources: Sources) -> Exit {
        let (Self::New(New { path, .. }) | Self::List(List { path, .. }) | Self::Revoke(Revoke { path, .. })) =
            &self;
        let flag = path.tokens_file.as_ref().map(|path| path.to_string_lossy().into_owned());
        let sources = with_flag(sources, "WEBHOOK_ASSETS_ADMIN_TOKENS_FILE", flag);
        let path = sources.read_for_tokens()?;
        match self {
            Self::New(new) => new.run(&path, &sources),
            Self::List(list) => list.run(&path),
            Self::Revoke(revoke) => revoke.run(&path, &sources),
        }
    }
}

impl New {
    fn run(self, path: &Path, sources: &Sources) -> Exit {
        let scopes: BTreeSet<Scope> = self.scopes.into_iter().collect();
        let workspaces = (!self.workspaces.is_empty()).then(|| self.workspaces.into_iter().collect());
        let now = SystemClock.now();
        let made = edit_file(path, |file| {
            let token = file.add(&self.name, scopes, workspaces, now)?;
            Ok((token, file.tokens.last().map(token_to_json)))
        });
        let (token, after) = made.map_err(failure)?;
        let action = CommandAction {
            name: "token.made",
            subject: Some(&self.name),
            after,
            ..CommandAction::default()
        };
        record_command(sources, action);
        self.output
            .print(|| json!({"name": self.name, "token": token.reveal()}), || format!("{}\n", token.reveal()))
    }
}

impl List {
    fn run(self, path: &Path) -> Exit {
        let file = TokensFile::read(path).map_err(failure)?;
        self.output.print(
            || json!({"tokens": file.tokens.iter().map(token_to_json).collect::<Vec<_>>()}),
            || table(&file.tokens),
        )
    }
}

fn table(tokens: &[TokenEntry]) -> String {
    let width = tokens.iter().map(|entry| entry.name.len()).max().unwrap_or_default().max(4);
    let mut table = format!("{:width$}  {:20}  {:40}  WORKSPACES\n", "NAME", "CREATED", "SCOPES");
    for entry in tokens {
        let scopes: Vec<&str> = entry.scopes.iter().map(|scope| scope.name()).collect();
        let workspaces = entry.workspaces.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(",");
        let workspaces = if entry.workspaces.is_none() { "all" } else { &workspaces };
        let created = entry.created.as_deref().unwrap_or("-");
        let _ = writeln!(
            table,
            "{:width$}  {created:20}  {:40}  {}",
            entry.name,
            scopes.join(","),
            escaped(workspaces)
        );
    }
    table
}

impl Revoke {
    fn run(self, path: &Path, sources: &Sources) -> Exit {
        if !path.exists() || !edit_file(path, |file| Ok(file.remove(&self.name))).map_err(failure)? {
            return Err(Failure::Failed(format!(
                "there is no token {} in {}; see `webhook-assets tokens list`",
                self.name,
                path.display()
            )));
        }
        let action =
            CommandAction { name: "token.revoked", subject: Some(&self.name), ..CommandAction::default() };
        record_command(sources, action);
        self.output.print(
            || json!({"name": self.name, "revoked": true}),
            || format!("the token {} is revoked; running programs refuse it within a second\n", self.name),
        )
    }
}

fn failure(error: TokensError) -> Failure {
    match error {
        TokensError::Unreadable(..) | TokensError::Malformed(..) => Failure::setting(error),
        error => Failure::failed(error),
    }
}

fn name(text: &str) -> Result<String, String> {
    is_token_name(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "takes 1 to 64 letters, digits, dots, dashes and underscores".to_owned())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::of(text).ok_or_else(|| format!("takes {}", Scope::TAKES))
}
