//! The webhook sender's side of the admin API: calls are handed in, endpoints kept, the delivery history read and
//! redone.

mod calls;
mod deliveries;
mod endpoints;
mod erasure;
mod fields;
mod json;
#[cfg(feature = "console")]
mod portal_links;
mod resource_path;

pub use json::{attempt_to_json, delivery_to_json, endpoint_to_json, secrets_to_json};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::upload::Upload;
use super::{Admin, Answer, finish, not_allowed, not_json, require_json, set_no_store};
use crate::ledger::LedgerError;
use crate::problem::Problem;
use crate::sender::Sender;
use resource_path::Resource;
pub(super) use resource_path::ResourcePath;

/// What a name takes, as the end of the sentence "… takes …".
const NAME: &str = "1 to 128 visible characters, without spaces";

/// Answers a request to one of these places.
pub(super) async fn answer(admin: &Admin, request: Request<Upload>, path: ResourcePath<'_>) -> Answer {
    let allowed = path.resource.methods();
    // HEAD goes with GET, as everywhere in HTTP.
    let method = if *request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    if !allowed.split(", ").any(|allowed| allowed == method.as_str()) {
        return not_allowed(allowed);
    }
    finish(try_answer(admin, request, &method, path).await)
}

async fn try_answer(
    admin: &Admin,
    request: Request<Upload>,
    method: &Method,
    path: ResourcePath<'_>,
) -> Result<Answer, Problem> {
    admin.authorize(&request)?;
    let api = Api { admin, sender: admin.0.services.sender.as_ref().ok_or_else(no_sender)? };
    let (workspace, id) = path.names().ok_or_else(no_such_name)?;
    let (workspace, id) = (workspace.as_str(), id.as_str());
    match (path.resource, method.as_str()) {
        (Resource::Calls, _) => api.accept_call(request).await,
        (Resource::Workspace, _) => api.erase_workspace(workspace).await,
        (Resource::Call, _) => api.erase_call(workspace, id).await,
        (Resource::Endpoints, "POST") => api.add_endpoint(workspace, request).await,
        (Resource::Endpoints, _) => api.list_endpoints(workspace).await,
        (Resource::Endpoint, "PATCH") => api.change_endpoint(workspace, id, request).await,
        (Resource::Endpoint, "DELETE") => api.remove_endpoint(workspace, id).await,
        (Resource::Endpoint, _) => api.show_endpoint(workspace, id).await,
        (Resource::Secret, _) => api.show_secret(workspace, id).await,
        (Resource::Rotation, _) => api.rotate_secret(workspace, id, request).await,
        (Resource::Test, _) => {
            reject_browsers(&request)?;
            api.test_endpoint(workspace, id).await
        }
        (Resource::Notices, _) => api.list_notices(workspace).await,
        (Resource::Deliveries, _) => {
            api.list_deliveries(workspace, request.uri().query().unwrap_or_default()).await
        }
        (Resource::Delivery, _) => api.show_delivery(workspace, id).await,
        (Resource::Resend, _) => {
            reject_browsers(&request)?;
            api.resend(workspace, id).await
        }
        (Resource::Recovery, _) => api.recover(workspace, request).await,
        #[cfg(not(feature = "console"))]
        (Resource::PortalLinks, _) => Err(not_found("This build has no settings page.")),
        #[cfg(feature = "console")]
        (Resource::PortalLinks, _) => api.mint_portal_link(workspace, request).await,
    }
}

/// Answers requests with the sender of this process.
struct Api<'a> {
    admin: &'a Admin,
    sender: &'a Sender,
}

impl Api<'_> {
    /// What to say when the ledger failed: nothing was written.
    #[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
    fn failed(&self, error: LedgerError) -> Problem {
        self.sender.metrics().database_failed(error.label());
        if error.is_transient() {
            tracing::warn!(%error, "the webhooks' database failed a request of the admin listener");
            return Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "Database unavailable",
                "The webhooks' database does not answer, has no room or cannot be written, and nothing was accepted. \
                 Send the same again after a few seconds.",
            );
        }
        tracing::error!(%error, "the webhooks' database failed a request of the admin listener");
        let detail = match error {
            LedgerError::Sealed => format!("{error}"),
            _ => "The webhooks' database refuses, and nothing was accepted. The log says why.".to_owned(),
        };
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "database_failed", "Database failed", &detail)
    }
}

/// The JSON of a request's body.
async fn read_json(request: Request<Upload>) -> Result<Value, Problem> {
    require_json(&request)?;
    let body = request.into_body().read().await?;
    serde_json::from_slice(&body).map_err(|error| not_json(&error))
}

/// A request without a body is one that a web page may send anywhere, so whoever has an origin is refused.
fn reject_browsers(request: &Request<Upload>) -> Result<(), Problem> {
    if request.headers().contains_key(http::header::ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "Origin not allowed",
            "A web page may not do this; send the request without the header field Origin.",
        ));
    }
    Ok(())
}

fn no_content() -> Answer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_no_store(&mut response);
    response
}

fn no_sender() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_sender",
        "No sender here",
        "This process sends no webhooks (`serve --only gateway`). Ask the admin listener of a process that does.",
    )
}

fn no_such_name() -> Problem {
    not_found(
        "A name in the path cannot be one: it has 1 to 128 visible characters, each percent-encoded once.",
    )
}

fn not_found(detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
}

fn invalid(pointer: &str, why: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request", why)
        .with("pointer", pointer)
}
