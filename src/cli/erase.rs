//! `erase`: deletes the recordings and the transcripts of calls.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::start_log;
use super::arguments::Output;
use super::command_action::CommandAction;
use super::command_trail::CommandTrail;
use super::erase_list::{DoneFile, read_ids};
use super::exit::{EXIT_NO, Exit, FLUSH_TIMEOUT, Failure, write_stderr};
use super::metrics::Metrics;
use super::progress_bar::ProgressBar;
use crate::asset::AssetKind;
use crate::config::Sources;
use crate::store::{Store, StoreError};
use crate::telemetry::LogLevel;

/// How many calls are erased at a time.
const CONCURRENCY: usize = 8;

/// After this many failures in a row the store is taken to be down.
const STOP_AFTER: u32 = 10;

#[derive(Debug, Args)]
pub(super) struct Erase {
    /// The ids of the calls
    #[arg(value_name = "UUID", required_unless_present = "from_file")]
    uuids: Vec<Uuid>,
    /// Erase the calls whose ids are in this file, one in a line (- for standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "uuids")]
    from_file: Option<PathBuf>,
    /// Note the erased ids in this file, and skip those in it: the same command goes on where it was cut off
    #[arg(long, value_name = "FILE")]
    done_file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What became of the assets of a call.
type Erased = Result<Vec<(AssetKind, bool)>, StoreError>;

impl Erase {
    pub(super) fn run(self, sources: &Sources) -> Exit {
        let (store, format, level) = sources.read_for_store()?;
        let ids = match &self.from_file {
            Some(file) => read_ids(file)?,
            None => self.uuids,
        };
        let mut done = self.done_file.as_deref().map(DoneFile::open).transpose()?;
        let (ids, skipped) = without_done(ids, done.as_ref());
        let mut bar = ProgressBar::new(ids.len().try_into().unwrap_or(u64::MAX));
        // Logs the erasures as the admin listener does; beside the bar, only what goes wrong.
        let level = if ids.len() > 1 && bar.is_on_terminal() { LogLevel::Warn } else { level };
        let metrics = Metrics::default();
        let logging = start_log(format, level, &metrics.log)?;
        let store = Store::open(&store, metrics.store).map_err(Failure::setting)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let trail = runtime.block_on(CommandTrail::open(sources));
        let eraser = Eraser { store, trail };
        if let ([id], None, None) = (&ids[..], &self.from_file, &done) {
            let erased = runtime.block_on(eraser.erase(*id));
            runtime.block_on(eraser.trail.close());
            logging.flush(FLUSH_TIMEOUT);
            return print_one(*id, &erased, self.output);
        }
        let summary = Summary { skipped, ..Summary::default() };
        let ended = runtime.block_on(erase_all(&eraser, ids, summary, &mut done, &mut bar));
        runtime.block_on(eraser.trail.close());
        bar.end();
        logging.flush(FLUSH_TIMEOUT);
        ended?.print(self.output)
    }
}

/// Erases, and records it in the audit trail.
struct Eraser {
    store: Store,
    trail: CommandTrail,
}

impl Eraser {
    async fn erase(&self, id: Uuid) -> Erased {
        let erased = self.store.erase(id).await?;
        let (subject, after) = (id.to_string(), Some(as_json(id, &erased)));
        let action = CommandAction {
            name: "asset.erased",
            subject: Some(&subject),
            after,
            ..CommandAction::default()
        };
        self.trail.record(action).await;
        Ok(erased)
    }
}

fn word(there: bool) -> &'static str {
    if there { "erased" } else { "was not there" }
}

fn as_json(id: Uuid, erased: &[(AssetKind, bool)]) -> Value {
    let kinds = erased.iter().map(|(kind, there)| (kind.name().to_owned(), word(*there).into()));
    Value::Object([("id".to_owned(), id.to_string().into())].into_iter().chain(kinds).collect())
}

/// The ids that are not noted as erased, and the number of the others.
fn without_done(mut ids: Vec<Uuid>, done: Option<&DoneFile>) -> (Vec<Uuid>, usize) {
    let all = ids.len();
    ids.retain(|id| !done.is_some_and(|done| done.has(id)));
    let skipped = all.saturating_sub(ids.len());
    (ids, skipped)
}

fn print_one(id: Uuid, erased: &Erased, output: Output) -> Exit {
    let erased = erased.as_ref().map_err(|error| {
        Failure::Failed(format!(
            "{error}; something may be left: erase again, which is safe, until it succeeds"
        ))
    })?;
    output.print(
        || as_json(id, erased),
        || {
            erased.iter().fold(String::new(), |mut text, (kind, there)| {
                let _ = writeln!(text, "{kind} {id}: {}", word(*there));
                text
            })
        },
    )
}

/// What became of many calls.
#[derive(Debug, Default)]
struct Summary {
    erased: usize,
    not_there: usize,
    skipped: usize,
    failed: Vec<(Uuid, String)>,
    stopped: bool,
}

async fn erase_all(
    eraser: &Eraser,
    ids: Vec<Uuid>,
    mut summary: Summary,
    done: &mut Option<DoneFile>,
    bar: &mut ProgressBar,
) -> Result<Summary, Failure> {
    let erase = |id| async move { (id, eraser.erase(id).await) };
    let mut results = stream::iter(ids).map(erase).buffer_unordered(CONCURRENCY);
    let mut failed_in_a_row = 0;
    while let Some((id, erased)) = results.next().await {
        match erased {
            Ok(assets) => {
                failed_in_a_row = 0;
                let there = assets.iter().any(|(_, there)| *there);
                *(if there { &mut summary.erased } else { &mut summary.not_there }) += 1;
                done.as_mut().map_or(Ok(()), |done| done.note(&id))?;
            }
            Err(error) => {
                failed_in_a_row += 1;
                bar.note(&format!("{id}: {error}"));
                summary.failed.push((id, error.to_string()));
            }
        }
        bar.show(summary.count(), summary.failed.len().try_into().unwrap_or(u64::MAX));
        summary.stopped = failed_in_a_row >= STOP_AFTER;
        if summary.stopped {
            break;
        }
    }
    Ok(summary)
}

impl Summary {
    /// How many calls were tried.
    fn count(&self) -> u64 {
        let tried = self.erased.saturating_add(self.not_there).saturating_add(self.failed.len());
        tried.try_into().unwrap_or(u64::MAX)
    }

    fn print(&self, output: Output) -> Exit {
        output.print(|| self.as_json(), || self.as_text())?;
        if self.failed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let why = if self.stopped { "the store fails, so the rest was left out" } else { "some failed" };
        write_stderr(format!("{why}: run the same command again, which is safe, until it succeeds\n"));
        Ok(ExitCode::from(EXIT_NO))
    }

    fn as_json(&self) -> Value {
        let failed = self.failed.iter().map(|(id, error)| json!({"id": id.to_string(), "error": error}));
        json!({
            "erased": self.erased,
            "were_not_there": self.not_there,
            "skipped": self.skipped,
            "failed": failed.collect::<Vec<_>>(),
        })
    }

    fn as_text(&self) -> String {
        let mut text = format!(
            "calls erased: {}; were not there: {}; failed: {}",
            self.erased,
            self.not_there,
            self.failed.len()
        );
        if self.skipped > 0 {
            let _ = write!(text, "; erased before: {}", self.skipped);
        }
        text + "\n"
    }
}
