//! Decides which requests the private listener admits: bearer token (RFC 6750) with its scope and
//! workspaces, loopback, no web pages.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode};

use super::listener::Admin;
use super::upload::Upload;
use crate::problem::Problem;
use crate::tokens::{Principal, Scope};

impl Admin {
    /// Admits a request that has the scope. If a token is configured, the request must carry one. Otherwise the listener
    /// is on loopback, and the request's host must be loopback: a web page could otherwise reach the listener under
    /// another name (DNS rebinding).
    pub(super) fn authorize(
        &self,
        request: &Request<Upload>,
        scope: Scope,
    ) -> Result<Arc<Principal>, Problem> {
        let tokens = &self.0.services.tokens;
        let principal = if tokens.are_required() {
            borne_token(request.headers()).and_then(|text| tokens.principal(text)).ok_or_else(unauthorized)?
        } else if is_for_loopback(request) {
            Arc::new(Principal::operator())
        } else {
            return Err(host_not_allowed());
        };
        if !principal.has(scope) {
            return Err(scope_missing(scope));
        }
        request.body().permitted()?;
        Ok(principal)
    }
}

/// Requires a principal of this workspace. The answer does not depend on whether the workspace exists.
#[cfg(feature = "sender")]
pub(super) fn require_workspace(principal: &Principal, workspace: &str) -> Result<(), Problem> {
    if principal.may_act_in(workspace) {
        return Ok(());
    }
    Err(workspace_not_allowed("This token is for other workspaces."))
}

/// Requires a principal of all workspaces, for what belongs to none.
pub(super) fn require_all_workspaces(principal: &Principal) -> Result<(), Problem> {
    if principal.may_act_everywhere() {
        return Ok(());
    }
    Err(workspace_not_allowed(
        "This token is for some workspaces, and the request reaches beyond them. Use a token for all workspaces.",
    ))
}

fn unauthorized() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Unauthorized",
        "Send `Authorization: Bearer …` with the token of this listener's token file, or one that `webhook-assets tokens new` has made.",
    )
}

fn host_not_allowed() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "host_not_allowed",
        "Host not allowed",
        "Without a token this listener answers under localhost, 127.0.0.1 and [::1] alone. \
         Set admin.token_file to use another name.",
    )
}

fn scope_missing(scope: Scope) -> Problem {
    let scope = scope.name();
    let detail = format!(
        "This token lacks the scope `{scope}`. Use one that has it: `webhook-assets tokens list` shows them."
    );
    Problem::new(StatusCode::FORBIDDEN, "scope_missing", "Scope missing", &detail).with("scope", scope)
}

fn workspace_not_allowed(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "workspace_not_allowed", "Workspace not allowed", detail)
}

/// The token of a request with exactly one `Authorization` field.
fn borne_token(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (scheme, borne) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(borne.trim())
}

fn is_for_loopback(request: &Request<Upload>) -> bool {
    let authority = request.uri().authority().cloned();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = authority.or_else(|| host.and_then(|host| host.parse().ok())) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Requires JSON. A browser sends this media type to another origin only after a preflight request, which this listener
/// refuses.
pub(super) fn require_json(request: &Request<Upload>) -> Result<(), Problem> {
    let media_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Unsupported media type",
        "Send the body as `Content-Type: application/json`.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_one_bearer_field_carries_a_token() {
        let borne = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
            }
            borne_token(&headers).map(str::to_owned)
        };
        let token = Some("0123456789abcdef".to_owned());
        assert_eq!(borne(&["Bearer 0123456789abcdef"]), token);
        assert_eq!(borne(&["bearer  0123456789abcdef"]), token);
        for wrong in ["", "Bearer", "Basic 0123456789abcdef", "0123456789abcdef"] {
            assert_eq!(borne(&[wrong]), None, "{wrong}");
        }
        assert_eq!(borne(&["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"]), None);
        assert_eq!(borne(&[]), None);
    }
}
