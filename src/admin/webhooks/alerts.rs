//! Lists the alerts to the operator, and sends tests.

use http::StatusCode;
use serde_json::{Value, json};

use super::api::Api;
use super::json::{alert_to_json, tested_alert_to_json};
use crate::admin::response::{Answer, json_answer};
use crate::ledger::Action;
use crate::problem::Problem;

/// How many alerts the list shows.
const LISTED: usize = 100;

impl Api<'_> {
    pub(super) async fn list_alerts(&self) -> Result<Answer, Problem> {
        let alerts = self.call(self.sender.ledger().alerts(LISTED)).await?;
        let alerts: Vec<Value> = alerts.iter().map(alert_to_json).collect();
        Ok(json_answer(StatusCode::OK, &json!({"alerts": alerts})))
    }

    pub(super) async fn test_alerts(&self) -> Result<Answer, Problem> {
        let (exchange, diagnosis) = self.sender.test_alerts().await.ok_or_else(no_alerts)?;
        let tested = Action { name: "alerts.tested", ..Action::default() };
        self.call(self.sender.ledger().record(tested)).await?;
        tracing::info!(target: "webhook_assets::audit", code = diagnosis.facts.code, "a test alert was sent");
        Ok(json_answer(StatusCode::OK, &tested_alert_to_json(&exchange, &diagnosis)))
    }
}

fn no_alerts() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "no_alerts",
        "No alerts",
        "Alerts go nowhere: set alerts.url, then start the program again.",
    )
}
