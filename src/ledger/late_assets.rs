//! Reports late assets: an endpoint that wants it gets `call.updated` when an asset arrives after its call was sent.
//!
//! A delivered call *awaits* the assets whose links were null. Either the caller says that one has arrived, or the sender
//! looks into the store. The transaction that adds the report also ends the waiting, so each arrival is reported once.

use uuid::Uuid;

use super::asset_looks::FIRST_LOOK;
use super::assets::Assets;
use super::database::{Statement, Tx, column, from_row, values};
use super::error::Result;
use super::handle::Ledger;
use super::lane::Queue;
use super::later_deliveries::{insert_later_deliveries, last_position, lock_events};
use crate::asset::AssetKind;
use crate::clock::UnixMillis;

/// The note of a delivery that was sent before the caller named an asset.
const NOT_NAMED_YET: &str = "_url is null: the call had none when it was sent";

/// What is known when the caller says that assets have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// These deliveries report it; none if no endpoint has to hear of it.
    Reported(Vec<Reported>),
    /// The call has another asset of this kind.
    Other(AssetKind),
    /// No call has this id.
    NoCall,
}

/// A delivery that reports an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// `dlv_…`
    pub delivery: String,
    /// The queue that it is in; `None` if its endpoint is disabled.
    pub(crate) queue: Option<Queue>,
}

from_row!(row => Reported {
    delivery: column(row, "id")?,
    queue: column::<bool, _>(row, "queued")?.then(|| sqlx::FromRow::from_row(row)).transpose()?,
});

struct Stored {
    event: String,
    recording: Option<String>,
    transcript: Option<String>,
}

from_row!(row => Stored {
    event: column(row, "id")?,
    recording: column(row, "recording")?,
    transcript: column(row, "transcript")?,
});

impl Stored {
    fn asset(&self, kind: AssetKind) -> Option<&String> {
        match kind {
            AssetKind::Recording => self.recording.as_ref(),
            AssetKind::Transcript => self.transcript.as_ref(),
        }
    }
}

/// The assets that have arrived: those of them that were awaited, and those that are named only now.
#[derive(Debug, Clone, Copy)]
struct Arrived {
    found: Assets,
    named: Assets,
}

/// The deliveries that were sent without the links of arrived assets. `$1` is the event, `$3` the assets that were found,
/// `$4` those that are named only now.
macro_rules! sent_without {
    () => {
        "d.event_id = $1 AND d.arrived = 0 AND d.state = 'delivered' AND NOT d.test \
         AND ((coalesce(d.awaits, 0) & $3) | $4) <> 0"
    };
}

/// Whether the endpoint `e` of the delivery `d` gets reports.
macro_rules! wants_reports {
    () => {
        "e.id = d.endpoint_id AND e.removed_at IS NULL AND e.late_assets"
    };
}

const REPORT: Statement = Statement::same(concat!(
    insert_later_deliveries!(
        "0",
        "$2",
        concat!(
            "(SELECT v.id AS event, e.id AS endpoint, v.workspace, v.accepted_at, e.state = 'disabled' AS disabled, \
             ((coalesce(d.awaits, 0) & $3) | $4) AS arrived, ",
            last_position!(),
            " + row_number() OVER (ORDER BY d.position) AS position FROM deliveries d JOIN events v ON v.id = d.event_id \
             JOIN endpoints e ON ",
            wants_reports!(),
            " WHERE ",
            sent_without!(),
            ") AS n"
        )
    ),
    " RETURNING id, workspace, endpoint_id AS endpoint, lane, CASE WHEN state = 'queued' THEN true ELSE false END AS queued"
));

/// `$2` are the assets that are still awaited.
const END_WAITING: Statement = Statement::same(
    "UPDATE deliveries SET awaits = nullif(awaits & $2, 0), \
     look_at = CASE WHEN (awaits & $2) = 0 THEN NULL ELSE look_at END \
     WHERE event_id = $1 AND state = 'delivered' AND awaits IS NOT NULL",
);

impl Ledger {
    /// Reports assets of a call that have arrived in the store. Names those that were unknown when the call was accepted.
    ///
    /// # Errors
    /// If it could not be written. Then nothing is reported.
    pub async fn assets_arrived(
        &self,
        workspace: &str,
        call: &str,
        assets: &[(AssetKind, Uuid)],
        now: UnixMillis,
    ) -> Result<Arrival> {
        const LOCK: Statement = Statement {
            sqlite: "SELECT id, recording, transcript FROM events WHERE workspace = $1 AND call_id = $2",
            postgres: "SELECT id, recording, transcript FROM events WHERE workspace = $1 AND call_id = $2 \
                       FOR NO KEY UPDATE",
        };
        let mut tx = self.database.begin().await?;
        let Some(stored) = tx.fetch::<Stored>(LOCK, values![workspace, call]).await?.pop() else {
            return Ok(Arrival::NoCall);
        };
        let mut arrived = Arrived { found: Assets::default(), named: Assets::default() };
        for (kind, id) in assets {
            match stored.asset(*kind) {
                Some(known) if *known != id.to_string() => return Ok(Arrival::Other(*kind)),
                Some(_) => arrived.found = arrived.found.with(*kind),
                None => {
                    arrived.named = arrived.named.with(*kind);
                    name(&mut tx, &stored.event, *kind, *id, now).await?;
                }
            }
        }
        let reported = report(&mut tx, &stored.event, arrived, now).await?;
        tx.commit().await?;
        Ok(Arrival::Reported(reported))
    }

    /// Reports awaited assets of an event that were found in the store.
    ///
    /// # Errors
    /// If it could not be written. Then nothing is reported.
    pub async fn assets_found(&self, event: &str, found: Assets, now: UnixMillis) -> Result<Vec<Reported>> {
        let mut tx = self.database.begin_unchecked().await?;
        lock_events(&mut tx, &[event.to_owned()]).await?;
        let reported = report(&mut tx, event, Arrived { found, named: Assets::default() }, now).await?;
        tx.commit().await?;
        Ok(reported)
    }
}

/// Names an asset that was unknown. An attempt in flight may send the call without it, so its delivery awaits it. So does a
/// delivery that is not in flight: on PostgreSQL a sender may be claiming it, and have read the event as it was before.
async fn name(tx: &mut Tx, event: &str, kind: AssetKind, id: Uuid, now: UnixMillis) -> Result<()> {
    const RECORDING: Statement =
        Statement::same("UPDATE events SET recording = $2, named_late = named_late | 1 WHERE id = $1");
    const TRANSCRIPT: Statement =
        Statement::same("UPDATE events SET transcript = $2, named_late = named_late | 2 WHERE id = $1");
    const AWAIT: Statement = Statement::same(
        "UPDATE deliveries SET awaits = coalesce(awaits, 0) | $2, look_at = $3 WHERE event_id = $1 AND state <> 'delivered' \
         AND arrived = 0 AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = endpoint_id AND e.late_assets)",
    );
    // The history shows what was sent.
    const NOTE: Statement = Statement::same(
        "UPDATE deliveries SET note = CASE WHEN note IS NULL THEN $2 ELSE note || '; ' || $2 END \
         WHERE event_id = $1 AND state IN ('delivered', 'failed')",
    );
    let statement = match kind {
        AssetKind::Recording => RECORDING,
        AssetKind::Transcript => TRANSCRIPT,
    };
    tx.execute(statement, values![event, id.to_string()]).await?;
    let assets = Assets::default().with(kind);
    tx.execute(AWAIT, values![event, assets, now.plus(FIRST_LOOK)]).await?;
    tx.execute(NOTE, values![event, format!("{}{NOT_NAMED_YET}", kind.name())]).await.map(|_| ())
}

async fn report(tx: &mut Tx, event: &str, arrived: Arrived, now: UnixMillis) -> Result<Vec<Reported>> {
    let Arrived { found, named } = arrived;
    let reported = tx.fetch::<Reported>(REPORT, values![event, now, found, named]).await?;
    tx.execute(END_WAITING, values![event, found.rest()]).await?;
    Ok(reported)
}
