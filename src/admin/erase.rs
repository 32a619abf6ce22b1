//! `DELETE /v1/assets/{uuid}`: erases both assets of a call.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::problem::Problem;
use crate::store::{Store, StoreError};

pub(super) async fn erase(store: &Store, id: &str) -> Result<Value, Problem> {
    let call =
        Some(id).filter(|id| id.len() == 36).and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| {
            let detail =
                "The path ends in the call's id, a UUID such as 550e8400-e29b-41d4-a716-446655440000.";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request", detail)
        })?;
    match store.erase(call).await {
        Ok(erased) => {
            let mut answer = json!({"id": call.to_string()});
            if let Value::Object(fields) = &mut answer {
                for (kind, there) in erased {
                    let word = if there { "erased" } else { "was not there" };
                    fields.insert(kind.name().into(), word.into());
                }
            }
            Ok(answer)
        }
        Err(error) => {
            tracing::error!(%error, id = %call, "an erasure failed; it has to be done again");
            Err(failed(&error))
        }
    }
}

fn failed(error: &StoreError) -> Problem {
    let (status, why) = if error.may_pass() {
        (StatusCode::SERVICE_UNAVAILABLE, "The storage does not answer.")
    } else {
        (StatusCode::BAD_GATEWAY, "The storage refuses to delete; this program needs the permission to.")
    };
    let detail = format!("{why} Something may be left: erase again, which is safe, until it succeeds.");
    Problem::new(status, "not_erased", "Not erased", &detail)
}
