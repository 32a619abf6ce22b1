//! Routes the requests of the webhooks' API.

use futures_util::future::BoxFuture;
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
    let query = request.uri().query().unwrap_or_default().to_owned();
    let target = Target { resource: path.resource, method, workspace, id, query: &query };
    handler(&api, target, request)?.await
}

/// What a request is about.
#[derive(Clone, Copy)]
struct Target<'t> {
    resource: Resource,
    method: &'t Method,
    workspace: &'t str,
    id: &'t str,
    query: &'t str,
}

/// The handler of a request. It is boxed here, so that the futures of all handlers are not on the stack while one runs.
fn handler<'h>(
    api: &'h Api<'_>,
    target: Target<'h>,
    request: Request<Upload>,
) -> Result<BoxFuture<'h, Result<Answer, Problem>>, Problem> {
    let Target { resource, method, workspace, id, query } = target;
    Ok(match (resource, method.as_str()) {
        (Resource::Calls, _) => Box::pin(api.accept_call(request)),
        (Resource::Find, _) => Box::pin(api.find(request)),
        (Resource::CallAssets, _) => Box::pin(api.report_assets(id, request)),
        (Resource::Workspace, _) => Box::pin(api.erase_workspace(workspace)),
        (Resource::Call, "DELETE") => Box::pin(api.erase_call(workspace, id)),
        (Resource::Call, _) => Box::pin(api.show_call(workspace, id)),
        (Resource::Endpoints, "POST") => Box::pin(api.add_endpoint(workspace, request)),
        (Resource::Endpoints, _) => Box::pin(api.list_endpoints(workspace)),
        (Resource::Endpoint, "PATCH") => Box::pin(api.change_endpoint(workspace, id, request)),
        (Resource::Endpoint, "DELETE") => Box::pin(api.remove_endpoint(workspace, id)),
        (Resource::Endpoint, _) => Box::pin(api.show_endpoint(workspace, id)),
        (Resource::Secret, _) => Box::pin(api.show_secret(workspace, id)),
        (Resource::Rotation, _) => Box::pin(api.rotate_secret(workspace, id, request)),
        (Resource::Test, _) => {
            reject_browsers(&request)?;
            Box::pin(api.test_endpoint(workspace, id))
        }
        (Resource::Backfill, _) => Box::pin(api.backfill(workspace, id, request)),
        (Resource::Notices, _) => Box::pin(api.list_notices(workspace)),
        (Resource::Deliveries, _) => Box::pin(api.list_deliveries(workspace, query)),
        (Resource::Delivery, _) => Box::pin(api.show_delivery(workspace, id)),
        (Resource::Resend, _) => {
            reject_browsers(&request)?;
            Box::pin(api.resend(workspace, id))
        }
        (Resource::Alerts, _) => Box::pin(api.list_alerts()),
        (Resource::AlertsTest, _) => {
            reject_browsers(&request)?;
            Box::pin(api.test_alerts())
        }
        (Resource::AuditTrail, _) => Box::pin(api.list_audit_trail(None, query)),
        (Resource::WorkspaceAuditTrail, _) => Box::pin(api.list_audit_trail(Some(workspace), query)),
        (Resource::Recovery, _) => Box::pin(api.recover(workspace, request)),
        #[cfg(not(feature = "console"))]
        (Resource::PortalLinks, _) => return Err(not_found("This build has no settings page.")),
        #[cfg(feature = "console")]
        (Resource::PortalLinks, _) => Box::pin(api.mint_portal_link(workspace, request)),
    })
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
