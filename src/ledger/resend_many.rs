//! Resends several deliveries, as a person chooses them.

use serde_json::Value as Json;

use super::audit_entry::Action;
use super::database::{Statement, Tx, over_ids, values};
use super::error::Result;
use super::handle::Ledger;
use super::lane::Lane;
use super::record_health::release_holds;
use super::redelivery::queue_again;
use crate::clock::UnixMillis;

/// How many deliveries one transaction resends. Other writers wait for each transaction.
const BATCH: usize = 500;

/// What came of the deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResentMany {
    /// They are queued.
    pub queued: u64,
    /// They have not ended yet.
    pub in_flight: u64,
    /// Their endpoint is removed or disabled.
    pub no_endpoint: u64,
    /// The workspace has no such delivery any more.
    pub unknown: u64,
}

/// Which deliveries to resend.
#[derive(Debug, Clone, Copy)]
pub struct ResendMany<'a> {
    /// Their ids.
    pub ids: &'a [String],
    /// The lane of deliveries of calls: [`Lane::Resend`] for a few, which go before others and ignore a hold, [`Lane::Retry`] for
    /// many.
    pub lane: Lane,
    /// The endpoint whose hold many release; `None` for all of the workspace.
    pub endpoint: Option<&'a str>,
}

macro_rules! endpoint_takes {
    () => {
        "EXISTS (SELECT 1 FROM endpoints e WHERE e.id = endpoint_id AND e.removed_at IS NULL \
         AND (e.state <> 'disabled' OR test))"
    };
}

impl Ledger {
    /// Resends deliveries that have ended, in batches, and records it with `what` unless nothing changed. Many are sent to held endpoints, too.
    ///
    /// # Errors
    /// If it could not be written. Later batches stay as they are.
    pub async fn resend_many(
        &self,
        workspace: &str,
        chosen: ResendMany<'_>,
        what: Json,
        now: UnixMillis,
    ) -> Result<ResentMany> {
        let mut resent = ResentMany::default();
        for ids in chosen.ids.chunks(BATCH) {
            let mut tx = self.database.begin().await?;
            let lane = chosen.lane.number();
            resent.add(resend_batch(&mut tx, workspace, ids.to_vec(), lane, now).await?);
            tx.commit().await?;
        }
        let mut tx = self.database.begin().await?;
        let released = match chosen.lane {
            Lane::Retry => release_holds(&mut tx, workspace, chosen.endpoint).await?,
            _ => 0,
        };
        if resent.queued + released == 0 {
            return Ok(resent);
        }
        let action = Action {
            name: "deliveries.resent",
            workspace: Some(workspace),
            after: Some(resent.recorded(what)),
            ..Action::default()
        };
        self.commit_recorded(tx, action).await?;
        Ok(resent)
    }
}

impl ResentMany {
    fn add(&mut self, other: Self) {
        self.queued += other.queued;
        self.in_flight += other.in_flight;
        self.no_endpoint += other.no_endpoint;
        self.unknown += other.unknown;
    }

    /// The entry of the audit trail: what was asked for, and how many were queued.
    fn recorded(&self, what: Json) -> Json {
        match what {
            Json::Object(mut fields) => {
                fields.insert("deliveries".to_owned(), self.queued.into());
                Json::Object(fields)
            }
            other => other,
        }
    }
}

/// Whether each delivery has ended, whether its endpoint takes it, and how many are alike.
type Alike = (bool, bool, i64);

async fn resend_batch(
    tx: &mut Tx,
    workspace: &str,
    ids: Vec<String>,
    lane: usize,
    now: UnixMillis,
) -> Result<ResentMany> {
    const LOOK: Statement = over_ids!(
        concat!(
            "SELECT ended, taken, count(*) FROM (SELECT state IN ('delivered', 'failed') AS ended, ",
            endpoint_takes!(),
            " AS taken FROM deliveries WHERE id"
        ),
        " AND workspace = $2) AS found GROUP BY ended, taken"
    );
    const RESEND: Statement = over_ids!(
        concat!(queue_again!("CASE WHEN test THEN 2 ELSE $4 END", "$3"), "id"),
        concat!(" AND workspace = $2 AND state IN ('delivered', 'failed') AND ", endpoint_takes!())
    );
    let asked = ids.len() as u64;
    let found: Vec<Alike> = tx.fetch(LOOK, values![ids.clone(), workspace]).await?;
    let count = |wanted: fn(bool, bool) -> bool| -> u64 {
        let alike = found.iter().filter(|(ended, taken, _)| wanted(*ended, *taken));
        alike.map(|(.., number)| u64::try_from(*number).unwrap_or_default()).sum()
    };
    let queued = tx.execute(RESEND, values![ids, workspace, now, lane]).await?;
    let no_endpoint = count(|ended, taken| ended && !taken);
    Ok(ResentMany {
        queued,
        no_endpoint,
        // Another person may have resent one since the look.
        in_flight: count(|_, _| true).saturating_sub(queued).saturating_sub(no_endpoint),
        unknown: asked.saturating_sub(count(|_, _| true)),
    })
}
