//! `POST /v1/calls/{call_id}/assets`: the product says that a recording or transcript has arrived after its call.

use http::{Request, StatusCode};
use serde_json::json;

use super::api::{Api, read_json};
use super::calls::{ASSET, asset};
use super::fields::Fields;
use crate::admin::response::{Answer, invalid, json_answer, not_found};
use crate::admin::upload::Upload;
use crate::asset::AssetKind;
use crate::ledger::Arrival;
use crate::problem::Problem;
use crate::sender::ArrivalOutcome;

impl Api<'_> {
    /// Answers 202 with the deliveries that report it, or 200 if no endpoint has to hear of it.
    pub(super) async fn report_assets(
        &self,
        call: &str,
        request: Request<Upload>,
    ) -> Result<Answer, Problem> {
        let mut fields = Fields::of(read_json(request).await?, &["workspace", "recording", "transcript"])?;
        let workspace = fields.name("workspace")?;
        self.require_workspace(&workspace)?;
        let mut assets = Vec::new();
        for kind in AssetKind::ALL {
            assets.extend(fields.optional(kind.name(), ASSET, asset)?.flatten().map(|id| (kind, id)));
        }
        if assets.is_empty() {
            return Err(invalid("", "the body takes a recording, a transcript, or both"));
        }
        let reported = match self.call(self.sender.assets_arrived(&workspace, call, &assets)).await? {
            ArrivalOutcome::Known(Arrival::Reported(reported)) => reported,
            ArrivalOutcome::Known(Arrival::NoCall) => {
                return Err(not_found(
                    "This workspace has no call of this id; calls are kept for webhooks.retention.",
                ));
            }
            ArrivalOutcome::Known(Arrival::Other(kind)) => return Err(other_asset(kind)),
            ArrivalOutcome::NotInStore(kind) => return Err(not_in_store(kind)),
            ArrivalOutcome::StoreFailed(error) => {
                tracing::warn!(workspace, call, %error, "the store failed a look-up for a late asset");
                return Err(store_failed());
            }
        };
        let status = if reported.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
        let deliveries: Vec<_> = reported.into_iter().map(|reported| reported.delivery).collect();
        Ok(json_answer(status, &json!({"deliveries": deliveries})))
    }
}

fn other_asset(kind: AssetKind) -> Problem {
    let kind = kind.name();
    let detail = format!("The call has another {kind}, which cannot be changed.");
    Problem::new(StatusCode::CONFLICT, "asset_taken", "The call has another one", &detail)
        .with("pointer", &format!("/{kind}"))
}

fn not_in_store(kind: AssetKind) -> Problem {
    let kind = kind.name();
    let detail =
        format!("The {kind} is not in the store, and nothing was sent. Say it again when it is there.");
    Problem::new(StatusCode::CONFLICT, "not_in_store", "Not in the store", &detail)
        .with("pointer", &format!("/{kind}"))
}

fn store_failed() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "storage_unavailable",
        "Storage unavailable",
        "Whether the object exists cannot be said now, and nothing was sent. Send the same again after a few seconds.",
    )
}
