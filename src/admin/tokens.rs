//! `/v1/tokens`: lists, makes and revokes the named tokens of this listener.

use std::collections::BTreeSet;

use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{require_all_workspaces, require_json};
use super::listener::Admin;
use super::response::{
    Answer, finish, invalid, json_answer, no_content, no_such_route, not_allowed, not_found, not_json,
};
use super::upload::Upload;
#[cfg(feature = "sender")]
use crate::ledger::Action;
use crate::problem::Problem;
use crate::tokens::{Principal, Scope, TokenEntry, TokensError, TokensFile, is_token_name};

const ROOT: &str = "/v1/tokens";

/// Valid names, as the end of the sentence "… takes …".
const NAME: &str = "1 to 64 letters, digits, dots, dashes and underscores";

/// A requested token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    name: String,
    scopes: Vec<String>,
    /// All workspaces if missing.
    workspaces: Option<BTreeSet<String>>,
}

/// Whether the path belongs to the tokens.
pub(super) fn is_below_root(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request below `/v1/tokens`.
pub(super) async fn answer(admin: &Admin, request: Request<Upload>, path: &str) -> Answer {
    match path.strip_prefix(ROOT).map(|rest| rest.strip_prefix('/')) {
        Some(None) => match *request.method() {
            Method::GET | Method::HEAD => finish(list(admin, &request)),
            Method::POST => finish(create(admin, request).await),
            _ => not_allowed("GET, HEAD, POST"),
        },
        Some(Some(name)) if !name.is_empty() && !name.contains('/') => match *request.method() {
            Method::DELETE => finish(revoke(admin, &request, name).await),
            _ => not_allowed("DELETE"),
        },
        _ => no_such_route(),
    }
}

fn list(admin: &Admin, request: &Request<Upload>) -> Result<Answer, Problem> {
    authorize(admin, request)?;
    let path = admin.0.services.tokens.path().map_err(|_| no_tokens_file())?;
    let file = TokensFile::read(path).map_err(|error| failed(&error))?;
    let tokens: Vec<Value> = file.tokens.iter().map(token_to_json).collect();
    Ok(json_answer(StatusCode::OK, &json!({"tokens": tokens})))
}

async fn create(admin: &Admin, request: Request<Upload>) -> Result<Answer, Problem> {
    let principal = authorize(admin, &request)?;
    require_json(&request)?;
    let body = request.into_body().read().await?;
    let value: Value = serde_json::from_slice(&body).map_err(|error| not_json(&error))?;
    let wanted = read(value)?;
    let scopes = scopes_of(&wanted.scopes)?;
    if let Some(scope) = scopes.iter().find(|scope| !principal.has(**scope)) {
        let detail = format!("A token gives no scope that it lacks: `{}`.", scope.name());
        let problem = Problem::new(StatusCode::FORBIDDEN, "scope_missing", "Scope missing", &detail);
        return Err(problem.with("scope", scope.name()));
    }
    let tokens = &admin.0.services.tokens;
    let path = tokens.path().map_err(|_| no_tokens_file())?;
    let now = admin.0.services.clock.now();
    let (token, entry) = tokens
        .edit(path, |file| {
            let token = file.add(&wanted.name, scopes, wanted.workspaces, now)?;
            Ok((token, file.tokens.last().map(token_to_json)))
        })
        .map_err(|error| failed(&error))?;
    tracing::info!(target: "webhook_assets::audit", name = wanted.name, "a token was made");
    let mut answer = entry.unwrap_or_default();
    record(admin, &principal, "token.made", &wanted.name, Some(answer.clone())).await;
    if let Value::Object(fields) = &mut answer {
        fields.insert("token".into(), token.reveal().into());
    }
    Ok(json_answer(StatusCode::CREATED, &answer))
}

async fn revoke(admin: &Admin, request: &Request<Upload>, name: &str) -> Result<Answer, Problem> {
    let principal = authorize(admin, request)?;
    let tokens = &admin.0.services.tokens;
    let path = tokens.path().map_err(|_| no_tokens_file())?;
    if !tokens.edit(path, |file| Ok(file.remove(name))).map_err(|error| failed(&error))? {
        return Err(not_found("There is no token of this name."));
    }
    tracing::info!(target: "webhook_assets::audit", name, "a token was revoked");
    record(admin, &principal, "token.revoked", name, None).await;
    Ok(no_content())
}

/// Records what was done to a token in the audit trail, if this process has a database.
#[cfg(feature = "sender")]
async fn record(admin: &Admin, principal: &Principal, name: &'static str, token: &str, after: Option<Value>) {
    let action = Action { name, subject: Some(token), after, ..Action::default() };
    super::webhooks::record(admin, principal, action).await;
}

#[cfg(not(feature = "sender"))]
#[expect(clippy::unused_async, reason = "as with a database")]
async fn record(_: &Admin, _: &Principal, _: &'static str, _: &str, _: Option<Value>) {}

fn authorize(admin: &Admin, request: &Request<Upload>) -> Result<std::sync::Arc<Principal>, Problem> {
    let principal = admin.authorize(request, Scope::Operate)?;
    require_all_workspaces(&principal)?;
    Ok(principal)
}

fn read(value: Value) -> Result<TokenRequest, Problem> {
    if !value.is_object() {
        return Err(invalid("", "the body takes an object with name, scopes and workspaces"));
    }
    let wanted: TokenRequest =
        serde_json::from_value(value).map_err(|error| invalid("", &error.to_string()))?;
    if !is_token_name(&wanted.name) {
        return Err(invalid("/name", &format!("/name takes {NAME}")));
    }
    if wanted
        .workspaces
        .as_ref()
        .is_some_and(|names| names.is_empty() || !names.iter().all(|name| is_name(name)))
    {
        return Err(invalid("/workspaces", "/workspaces takes a list of names, or is left out for all"));
    }
    Ok(wanted)
}

/// Whether a workspace can have this name. The ledger, which is stricter, is not in every build.
fn is_name(name: &str) -> bool {
    let visible = name.chars().all(|c| !c.is_whitespace() && !c.is_control());
    visible && (1..=128).contains(&name.chars().count())
}

fn scopes_of(names: &[String]) -> Result<BTreeSet<Scope>, Problem> {
    let scopes: Option<BTreeSet<Scope>> = names.iter().map(|name| Scope::of(name)).collect();
    scopes
        .filter(|scopes| !scopes.is_empty())
        .ok_or_else(|| invalid("/scopes", &format!("/scopes takes a list with {}", Scope::TAKES)))
}

/// A token in an answer, without the token itself.
#[must_use]
pub fn token_to_json(entry: &TokenEntry) -> Value {
    json!({
        "name": entry.name,
        "scopes": entry.scopes,
        "workspaces": entry.workspaces,
        "created": entry.created,
    })
}

fn no_tokens_file() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_tokens_file",
        "No tokens file",
        "This process has no named tokens. Set admin.tokens_file to keep them in a file.",
    )
}

fn failed(error: &TokensError) -> Problem {
    match error {
        TokensError::Refused(why) => {
            Problem::new(StatusCode::CONFLICT, "token_refused", "Token refused", why)
        }
        error => {
            tracing::error!(%error, "the tokens file failed a request of the admin listener");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "tokens_file_failed",
                "Tokens file failed",
                "The tokens file cannot be read or written, and nothing was changed. The log says why.",
            )
        }
    }
}
