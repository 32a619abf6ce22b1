//! `erase`: deletes the recording and the transcript of a call.

use std::fmt::Write;

use clap::Args;
use uuid::Uuid;

use super::app::start_log;
use super::exit::{Exit, FLUSH_TIMEOUT, Failure, print};
use super::metrics::Metrics;
use crate::config::Sources;
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct Erase {
    /// The call's id
    uuid: Uuid,
}

impl Erase {
    pub(super) fn run(self, sources: &Sources) -> Exit {
        let (store, format, level) = sources.read_for_store()?;
        // Logs the erasure as the admin listener does.
        let metrics = Metrics::default();
        let logging = start_log(format, level, &metrics.log)?;
        let store = Store::open(&store, metrics.store).map_err(Failure::setting)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let erased = runtime.block_on(store.erase(self.uuid));
        logging.flush(FLUSH_TIMEOUT);
        let erased = erased.map_err(|error| {
            Failure::Failed(format!(
                "{error}; something may be left: erase again, which is safe, until it succeeds"
            ))
        })?;
        let mut text = String::new();
        for (kind, there) in erased {
            let word = if there { "erased" } else { "was not there" };
            let _ = writeln!(text, "{kind} {}: {word}", self.uuid);
        }
        print(&text)
    }
}
