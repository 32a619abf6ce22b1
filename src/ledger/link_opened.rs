//! Records followed links: the gateway reports each download, and the ledger finds the delivery of its link.

use super::database::{Statement, values};
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

macro_rules! record {
    ($fetched_at:literal, $asset:literal) => {
        Statement::same(concat!(
            "UPDATE deliveries SET ",
            $fetched_at,
            " = coalesce(",
            $fetched_at,
            ", $1) WHERE event_id IN (SELECT id FROM events WHERE ",
            $asset,
            " = $2) AND (links_expire_at = $3 OR EXISTS (SELECT 1 FROM attempts a \
             WHERE a.delivery_id = deliveries.id AND a.links_expire_at = $3))"
        ))
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
        for download in downloads {
            let statement = match download.asset.kind {
                AssetKind::Recording => RECORDING,
                AssetKind::Transcript => TRANSCRIPT,
            };
            let values = values![download.at, download.asset.id.to_string(), download.link_expires];
            tx.execute(statement, values).await?;
        }
        tx.commit().await
    }
}
