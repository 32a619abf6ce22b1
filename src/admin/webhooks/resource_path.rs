//! Parses the path of a resource.

use http::Method;

use crate::ledger::name_in_path;
use crate::tokens::Scope;

/// The path before the name of a workspace, and the paths of calls and of the whole audit trail.
const WORKSPACES: &str = "/v1/workspaces/";
const CALLS: &str = "/v1/calls";
const FIND: &str = "/v1/find";
const AUDIT_TRAIL: &str = "/v1/audit";

/// The paths of alerts.
const ALERTS: &str = "/v1/alerts";
const ALERTS_TEST: &str = "/v1/alerts/test";

/// The kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Calls,
    Find,
    CallAssets,
    Workspace,
    Call,
    Endpoints,
    Endpoint,
    Secret,
    Rotation,
    Test,
    Backfill,
    Notices,
    Deliveries,
    Delivery,
    Resend,
    Recovery,
    PortalLinks,
    Alerts,
    AlertsTest,
    AuditTrail,
    WorkspaceAuditTrail,
}

impl Resource {
    /// Its methods, as in `Allow`.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Calls
            | Self::Find
            | Self::CallAssets
            | Self::Rotation
            | Self::Test
            | Self::Backfill
            | Self::Resend
            | Self::Recovery
            | Self::PortalLinks
            | Self::AlertsTest => "POST",
            Self::Workspace => "DELETE",
            Self::Call => "GET, HEAD, DELETE",
            Self::Endpoints => "GET, HEAD, POST",
            Self::Endpoint => "GET, HEAD, PATCH, DELETE",
            Self::Secret
            | Self::Notices
            | Self::Deliveries
            | Self::Delivery
            | Self::AuditTrail
            | Self::WorkspaceAuditTrail
            | Self::Alerts => "GET, HEAD",
        }
    }

    /// The scope that a method needs. A secret signs messages, so reading it is not `read`.
    pub(super) fn scope(self, method: &Method) -> Scope {
        match self {
            Self::Calls | Self::CallAssets => Scope::Calls,
            Self::Call if *method == Method::GET => Scope::Read,
            Self::Workspace | Self::Call => Scope::Erase,
            Self::Endpoints | Self::Endpoint if *method == Method::GET => Scope::Read,
            Self::Find | Self::Notices | Self::Deliveries | Self::Delivery | Self::WorkspaceAuditTrail => {
                Scope::Read
            }
            Self::AuditTrail => Scope::Operate,
            Self::Endpoints
            | Self::Endpoint
            | Self::Secret
            | Self::Rotation
            | Self::Test
            | Self::Backfill
            | Self::Resend
            | Self::Recovery => Scope::Endpoints,
            Self::PortalLinks => Scope::Portal,
            Self::Alerts | Self::AlertsTest => Scope::Operate,
        }
    }
}

/// A parsed path. Its names are still percent-encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourcePath<'p> {
    pub(super) resource: Resource,
    workspace: Option<&'p str>,
    id: Option<&'p str>,
}

impl<'p> ResourcePath<'p> {
    /// The resource at this path, if there is one.
    pub(crate) fn at(path: &'p str) -> Option<Self> {
        let of_all = match path {
            ALERTS => Some(Resource::Alerts),
            ALERTS_TEST => Some(Resource::AlertsTest),
            FIND => Some(Resource::Find),
            AUDIT_TRAIL => Some(Resource::AuditTrail),
            _ => None,
        };
        if let Some(resource) = of_all {
            return Some(Self { resource, workspace: None, id: None });
        }
        if let Some(rest) = path.strip_prefix(CALLS) {
            return Self::below_calls(rest);
        }
        let segments: Vec<&str> = path.strip_prefix(WORKSPACES)?.split('/').collect();
        let (resource, workspace, id) = match segments[..] {
            [workspace] => (Resource::Workspace, workspace, None),
            [workspace, "calls", id] => (Resource::Call, workspace, Some(id)),
            [workspace, "endpoints"] => (Resource::Endpoints, workspace, None),
            [workspace, "endpoints", id] => (Resource::Endpoint, workspace, Some(id)),
            [workspace, "endpoints", id, "secret"] => (Resource::Secret, workspace, Some(id)),
            [workspace, "endpoints", id, "secret", "rotate"] => (Resource::Rotation, workspace, Some(id)),
            [workspace, "endpoints", id, "test"] => (Resource::Test, workspace, Some(id)),
            [workspace, "endpoints", id, "backfill"] => (Resource::Backfill, workspace, Some(id)),
            [workspace, "notices"] => (Resource::Notices, workspace, None),
            [workspace, "deliveries"] => (Resource::Deliveries, workspace, None),
            [workspace, "deliveries", id] => (Resource::Delivery, workspace, Some(id)),
            [workspace, "deliveries", id, "resend"] => (Resource::Resend, workspace, Some(id)),
            [workspace, "portal-links"] => (Resource::PortalLinks, workspace, None),
            [workspace, "audit"] => (Resource::WorkspaceAuditTrail, workspace, None),
            [workspace, "recover"] => (Resource::Recovery, workspace, None),
            _ => return None,
        };
        let named = !workspace.is_empty() && id.is_none_or(|id| !id.is_empty());
        named.then_some(Self { resource, workspace: Some(workspace), id })
    }

    /// The resource at a path below that of calls.
    fn below_calls(rest: &'p str) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self { resource: Resource::Calls, workspace: None, id: None });
        }
        let call = rest.strip_prefix('/')?.strip_suffix("/assets")?;
        let named = !call.is_empty() && !call.contains('/');
        named.then_some(Self { resource: Resource::CallAssets, workspace: None, id: Some(call) })
    }

    /// The decoded workspace name and id; empty if the path has none. `None` if either is not a valid name.
    pub(super) fn names(&self) -> Option<(String, String)> {
        let decoded = |segment: Option<&str>| segment.map_or_else(|| Some(String::new()), name_in_path);
        Some((decoded(self.workspace)?, decoded(self.id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_is_decoded_once() {
        fn names(path: &str) -> Option<(String, String)> {
            ResourcePath::at(path)?.names()
        }
        let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(names("/v1/workspaces/acme/calls/a%2Fb"), both("acme", "a/b"));
        assert_eq!(names("/v1/workspaces/%C3%A9/calls/%2525"), both("é", "%25"));
        assert_eq!(names("/v1/calls/a%2Fb/assets"), both("", "a/b"));
        for bad in ["%", "%2", "%zz", "%+1", "%ff", "%00", "a%0Ab", "%20"] {
            assert_eq!(names(&format!("/v1/workspaces/acme/calls/{bad}")), None, "{bad}");
        }
    }

    #[test]
    fn other_paths_name_no_resource() {
        for path in [
            "/v1/workspaces",
            "/v1/workspaces/",
            "/v1/workspaces//endpoints",
            "/v1/workspaces/a/endpoints/",
            "/v1/workspaces/a/endpoints/b/secret/",
            "/v1/workspaces/a/calls",
            "/v1/calls/",
            "/v1/calls/a",
            "/v1/calls//assets",
            "/v1/calls/a/b/assets",
            "/v1/callsa/assets",
        ] {
            assert!(ResourcePath::at(path).is_none(), "{path}");
        }
    }
}
