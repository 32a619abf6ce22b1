//! Whether links were followed: the gateway tells of each download, and the deliveries whose link it was remember it.

use super::database::{Statement, values};
use super::{Ledger, LedgerError, stored};
use crate::asset::{AssetKind, AssetRef};
use crate::clock::{UnixMillis, UnixSeconds};

/// A link that was followed to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkOpened {
    /// What was downloaded.
    pub asset: AssetRef,
    /// When the link expires: with the asset, that tells whose link it was.
    pub link_expires: UnixSeconds,
    /// When.
    pub at: UnixMillis,
}

macro_rules! pick_up {
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

const RECORDING: Statement = pick_up!("recording_fetched_at", "recording");
const TRANSCRIPT: Statement = pick_up!("transcript_fetched_at", "transcript");

impl Ledger {
    /// Remembers downloads; those that belong to no delivery are passed over.
    ///
    /// # Errors
    /// [`LedgerError`] if they could not be written.
    pub async fn record_links_opened(&self, downloads: &[LinkOpened]) -> Result<(), LedgerError> {
        let mut tx = self.database.begin_unchecked().await?;
        for download in downloads {
            let statement = match download.asset.kind {
                AssetKind::Recording => RECORDING,
                AssetKind::Transcript => TRANSCRIPT,
            };
            let expires = i64::try_from(download.link_expires.0).unwrap_or(i64::MAX);
            let values = values![stored(download.at), download.asset.id.to_string(), expires];
            tx.execute(statement, values).await?;
        }
        tx.commit().await
    }
}
