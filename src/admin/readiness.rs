//! Answers `/readyz`: whether links can be served, and the state of the webhooks' database.

use http::StatusCode;
use serde_json::json;

use super::listener::Admin;
use super::probe::Fault;
use super::response::{Answer, json_answer};
use crate::store::StoreError;

impl Admin {
    /// Ready if links can be served: a key can sign, the store is readable, and the program is not stopping. The state
    /// of the webhooks' database is only shown, because links work without it.
    pub(super) async fn readiness(&self) -> Answer {
        let keys = if self.0.services.keyring.can_sign(self.0.services.clock.now()) {
            "ok"
        } else {
            "no key may sign now"
        };
        let (store, webhooks) = tokio::join!(self.check_store(), self.check_webhooks());
        let store = store.unwrap_or("ok");
        let draining = self.0.services.drain.is_announced();
        let ready = keys == "ok" && store == "ok" && !draining;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let word = if draining {
            "stopping"
        } else if ready {
            "ready"
        } else {
            "not ready"
        };
        let mut answer = json!({"status": word, "keys": keys, "store": store});
        if let (Some(found), serde_json::Value::Object(fields)) = (webhooks, &mut answer) {
            fields.insert("webhooks".into(), found.unwrap_or("ok").into());
        }
        json_answer(status, &answer)
    }

    /// The problem with the store, without its URL.
    async fn check_store(&self) -> Fault {
        const LATE: &str = "it does not answer in time";
        let store = self.0.services.store.clone();
        let look = async move {
            let error = store.probe().await.err()?;
            tracing::warn!(%error, "the store is not usable");
            Some(match error {
                StoreError::TimedOut { .. } => LATE,
                StoreError::Refused(_) => "it refuses us: credentials or permissions",
                StoreError::Misplaced(_) => "its bucket or container does not exist",
                _ => "it cannot be reached or fails",
            })
        };
        self.0.store_probe.find(look, LATE).await
    }

    /// The problem with the webhooks' database; `None` if this process sends no webhooks.
    #[cfg(feature = "sender")]
    async fn check_webhooks(&self) -> Option<Fault> {
        let sender = self.0.services.sender.clone()?;
        let look = async move {
            let error = sender.ledger().probe().await.err()?;
            tracing::warn!(%error, "the webhooks' database is not usable");
            Some(error.summary())
        };
        Some(self.0.ledger_probe.find(look, "their database does not answer in time").await)
    }

    #[cfg(not(feature = "sender"))]
    async fn check_webhooks(&self) -> Option<Fault> {
        None
    }
}
