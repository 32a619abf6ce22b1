//! Records followed links: the gateway reports each download, and the ledger finds the delivery of its link. After a
//! resend, only its links count.

use super::database::{Statement, Value, rows, values};
use super::error::Result;
use super::handle::Ledger;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::{UnixMillis, UnixSeconds};

/// A complete download with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkOpened {
    /// The downloaded asset.
    pub asset: AssetRef,
    /// When the link expires. Together with the asset, this identifies the delivery.
    pub link_expires: UnixSeconds,
    /// When the download ended.
    pub at: UnixMillis,
}

macro_rules! downloads {
    ($engine:ident) => {
        rows!($engine: [1 asset text, 2 expires bigint, 3 at bigint])
    };
}

macro_rules! record {
    ($fetched_at:literal, $asset:literal, $from:expr, $is:literal, $close:literal) => {
        concat!(
            "UPDATE deliveries SET ",
            $fetched_at,
            " = coalesce(deliveries.",
            $fetched_at,
            ", r.at) FROM ",
            $from,
            " JOIN events e ON e.",
            $asset,
            $is,
            "r.asset",
            $close,
            " WHERE deliveries.event_id",
            $is,
            "e.id",
            $close,
            " AND (deliveries.links_expire_at = r.expires OR EXISTS (SELECT 1 FROM attempts a \
             WHERE a.delivery_id = deliveries.id AND a.resend = deliveries.resends AND a.links_expire_at = r.expires))"
        )
    };
    ($fetched_at:literal, $asset:literal) => {
        // PostgreSQL can only do a join by `= ANY` with the index. It might read all deliveries otherwise.
        Statement {
            sqlite: record!($fetched_at, $asset, downloads!(sqlite), " = ", ""),
            postgres: record!($fetched_at, $asset, downloads!(postgres), " = ANY (ARRAY[", "])"),
        }
    };
}

const RECORDING: Statement = record!("recording_fetched_at", "recording");
const TRANSCRIPT: Statement = record!("transcript_fetched_at", "transcript");

impl Ledger {
    /// Records downloads. Ignores a download that belongs to no delivery.
    ///
    /// # Errors
    /// If they could not be written.
    pub async fn record_links_opened(&self, downloads: &[LinkOpened]) -> Result<()> {
        let mut tx = self.database.begin_unchecked().await?;
        for (kind, statement) in [(AssetKind::Recording, RECORDING), (AssetKind::Transcript, TRANSCRIPT)] {
            let of_kind = downloads.iter().filter(|download| download.asset.kind == kind);
            let rows: Vec<_> = of_kind.map(row).collect();
            if !rows.is_empty() {
                tx.execute(statement, values![rows]).await?;
            }
        }
        tx.commit().await
    }
}

fn row(download: &LinkOpened) -> Vec<Value> {
    values![download.asset.id.to_string(), download.link_expires, download.at]
}
