//! Answers `/readyz`: whether links can be served, and how each part is.

use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};

use super::listener::Admin;
use super::part_state::PartState;
use super::response::{Answer, json_answer};
#[cfg(feature = "sender")]
use crate::sender::Sender;
use crate::store::StoreError;
use crate::telemetry::Audit;

const AUDIT_FAILS: &str = "audit.file cannot be written; records wait";
const REQUIRED_AUDIT_FAILS: &str = "audit.file cannot be written, and audit.required refuses downloads until it can; make room, or let this user write there";
const ALERTS_FAIL: &str =
    "alerts.url does not take alerts, which are tried again; `webhook-assets webhooks alerts test` says why";

/// Whether a part works, and since when, as its watcher knows.
type Watched = (bool, Instant);

/// The state of a part that links and webhooks do not need.
fn degraded((works, _): Watched, why: &'static str) -> PartState {
    if works { PartState::Ok } else { PartState::Degraded(why) }
}

impl Admin {
    /// Ready if links can be served: a key can sign, the store is readable, a required audit can be written, and the
    /// program is not stopping. The state of the webhooks' database is only shown, because links work without it.
    pub(super) async fn readiness(&self) -> Answer {
        let keys = self.check_keys();
        let (store, webhooks) = tokio::join!(self.check_store(), self.check_webhooks());
        let audit = self.check_audit();
        let draining = self.0.services.drain.is_announced();
        let serves = [Some(keys), Some(store), audit].into_iter().flatten().all(|part| part.words() == "ok");
        let ready = serves && !draining;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let word = if draining {
            "stopping"
        } else if ready {
            "ready"
        } else {
            "not ready"
        };
        let mut answer = json!({"status": word});
        if let Value::Object(fields) = &mut answer {
            for (name, state) in [("keys", Some(keys)), ("store", Some(store)), ("webhooks", webhooks)] {
                fields.extend(state.map(|state| (name.to_owned(), state.words().into())));
            }
            fields.insert("parts".to_owned(), self.parts(keys, store, webhooks, audit));
        }
        json_answer(status, &answer)
    }

    /// Each part with its state, and since when.
    fn parts(
        &self,
        keys: PartState,
        store: PartState,
        webhooks: Option<PartState>,
        audit: Option<PartState>,
    ) -> Value {
        let alerts = self.alerts_state();
        let found = [
            ("keys", Some(keys), Some((true, self.0.started))),
            ("store", Some(store), Some(self.0.services.store.state())),
            ("webhooks", webhooks, self.database_state()),
            ("audit", audit, self.0.services.audit.as_ref().map(Audit::state)),
            ("alerts", alerts.map(|alerts| degraded(alerts, ALERTS_FAIL)), alerts),
        ];
        let now = self.0.services.clock.now();
        let shown = found.into_iter().zip(&self.0.part_histories);
        let shown = shown.filter_map(|((name, state, watched), history)| {
            let state = state?;
            let known =
                watched.filter(|(works, _)| *works == (state == PartState::Ok)).map(|(_, since)| since);
            Some((name.to_owned(), history.note(state, known, now)))
        });
        Value::Object(shown.collect())
    }

    fn check_audit(&self) -> Option<PartState> {
        let audit = self.0.services.audit.as_ref()?;
        Some(match audit.state() {
            (false, _) if audit.is_required() => PartState::Down(REQUIRED_AUDIT_FAILS),
            state => degraded(state, AUDIT_FAILS),
        })
    }

    #[cfg(feature = "sender")]
    fn database_state(&self) -> Option<Watched> {
        self.0.services.sender.as_ref().map(Sender::database_state)
    }

    #[cfg(feature = "sender")]
    fn alerts_state(&self) -> Option<Watched> {
        self.0.services.sender.as_ref()?.alerts_state()
    }

    #[cfg(not(feature = "sender"))]
    fn database_state(&self) -> Option<Watched> {
        None
    }

    #[cfg(not(feature = "sender"))]
    fn alerts_state(&self) -> Option<Watched> {
        None
    }

    fn check_keys(&self) -> PartState {
        let (now, services) = (self.0.services.clock.now(), &self.0.services);
        if !services.keyring.can_sign(now) {
            return PartState::Down("no key may sign now");
        }
        let whole = now.plus(services.longest_lifetime);
        match services.keyring.load().signing_key(now, whole) {
            Some(_) => PartState::Ok,
            None => PartState::Degraded(
                "no key signs links of full length; `keys rotate --starts-in 0s` makes one",
            ),
        }
    }

    /// The state of the store, without its URL.
    async fn check_store(&self) -> PartState {
        const LATE: &str = "it does not answer in time";
        const CLOCKS: &str = "its clock and the one of this machine differ; keep both by NTP";
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
        match self.0.store_probe.find(look, LATE).await {
            Some(why) => PartState::Down(why),
            None if self.0.services.store.clocks_differ().is_some() => PartState::Degraded(CLOCKS),
            None => PartState::Ok,
        }
    }

    /// The state of the webhooks' database; `None` if this process sends no webhooks.
    #[cfg(feature = "sender")]
    async fn check_webhooks(&self) -> Option<PartState> {
        let sender = self.0.services.sender.clone()?;
        let look = {
            let (ledger, now) = (sender.ledger().clone(), self.0.services.clock.now_millis());
            async move {
                ledger.recheck_secrets(now).await;
                let error = ledger.probe().await.err()?;
                tracing::warn!(%error, "the webhooks' database is not usable");
                Some(error.summary())
            }
        };
        let down = self.0.ledger_probe.find(look, "their database does not answer in time").await;
        Some(match (down, sender.ledger().warning()) {
            (Some(why), _) => PartState::Down(why),
            (None, Some(why)) => PartState::Degraded(why),
            (None, None) => PartState::Ok,
        })
    }

    #[cfg(not(feature = "sender"))]
    async fn check_webhooks(&self) -> Option<PartState> {
        None
    }
}
