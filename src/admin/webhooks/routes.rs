//! Routes the requests of the webhooks' API.

use http::{Method, Request, StatusCode};

use super::api::{Api, reject_browsers};
use super::audit_trail::actor_of;
use super::resource_path::{Resource, ResourcePath};
use crate::admin::access::require_all_workspaces;
use crate::admin::listener::Admin;
use crate::admin::response::{Answer, finish, not_allowed, not_found};
use crate::admin::upload::Upload;
use crate::problem::Problem;

/// Answers a request to a resource of this API.
pub(crate) async fn answer(admin: &Admin, request: Request<Upload>, path: ResourcePath<'_>) -> Answer {
    let allowed = path.resource.methods();
    // HEAD is allowed where GET is.
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
    let principal = admin.authorize(&request, path.resource.scope(method))?;
    let sender = admin.0.services.sender.as_ref().ok_or_else(no_sender)?;
    let api = Api {
        #[cfg(feature = "console")]
        admin,
        sender: &sender.acting_as(actor_of(&principal)),
        principal: &principal,
    };
    let (workspace, id) = path.names().ok_or_else(no_such_name)?;
    let (workspace, id) = (workspace.as_str(), id.as_str());
    match path.resource {
        // The body names the workspace.
        Resource::Calls | Resource::CallAssets | Resource::Find => {}
        Resource::AuditTrail | Resource::Alerts | Resource::AlertsTest => require_all_workspaces(&principal)?,
        _ => api.require_workspace(workspace)?,
    }
    match (path.resource, method.as_str()) {
        (Resource::Calls, _) => api.accept_call(request).await,
        (Resource::Find, _) => api.find(request).await,
        (Resource::CallAssets, _) => api.report_assets(id, request).await,
        (Resource::Workspace, _) => api.erase_workspace(workspace).await,
        (Resource::Call, "DELETE") => api.erase_call(workspace, id).await,
        (Resource::Call, _) => api.show_call(workspace, id).await,
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
        (Resource::Backfill, _) => api.backfill(workspace, id, request).await,
        (Resource::Notices, _) => api.list_notices(workspace).await,
        (Resource::Deliveries, _) => {
            api.list_deliveries(workspace, request.uri().query().unwrap_or_default()).await
        }
        (Resource::Delivery, _) => api.show_delivery(workspace, id).await,
        (Resource::Resend, _) => {
            reject_browsers(&request)?;
            api.resend(workspace, id).await
        }
        (Resource::Alerts, _) => api.list_alerts().await,
        (Resource::AlertsTest, _) => {
            reject_browsers(&request)?;
            api.test_alerts().await
        }
        (Resource::AuditTrail, _) => {
            api.list_audit_trail(None, request.uri().query().unwrap_or_default()).await
        }
        (Resource::WorkspaceAuditTrail, _) => {
            api.list_audit_trail(Some(workspace), request.uri().query().unwrap_or_default()).await
        }
        (Resource::Recovery, _) => api.recover(workspace, request).await,
        #[cfg(not(feature = "console"))]
        (Resource::PortalLinks, _) => Err(not_found("This build has no settings page.")),
        #[cfg(feature = "console")]
        (Resource::PortalLinks, _) => api.mint_portal_link(workspace, request).await,
    }
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
