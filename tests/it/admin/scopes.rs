//! What a named token allows: every operation needs the one scope that the description names, and a token for some
//! workspaces shows nothing of others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tempfile::TempDir;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::tokens::{Scope, edit_file};

use super::{AdminSite, JSON, TOKEN, bearing, webhooks};
use crate::support::receiver::Receiver;
use crate::support::{Answer, CALL, Plan};

/// A site with named tokens.
pub(super) struct TokenSite {
    pub(super) api: AdminSite,
    folder: TempDir,
}

impl TokenSite {
    pub(super) async fn start() -> Self {
        Self::of(Plan::sending().await).await
    }

    pub(super) async fn of(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens_file = Some(folder.path().join("tokens.json"));
        let plan = Plan { admin_token: Some(TOKEN), tokens_file, ..plan };
        Self { api: Box::pin(AdminSite::of(plan)).await, folder }
    }

    pub(super) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("tokens.json")
    }

    /// Makes a token by the API.
    pub(super) async fn token(&self, name: &str, scopes: &[Scope], workspaces: Option<&str>) -> String {
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        let mut wish = json!({"name": name, "scopes": scopes});
        if let Some(workspace) = workspaces {
            wish["workspaces"] = json!([workspace]);
        }
        let made = self.send(TOKEN, "POST", "/v1/tokens", &wish).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn send(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = bearing(token);
        let fields = [("Authorization", bearer.as_str()), JSON];
        let (fields, body) = match body {
            Value::Null => (&fields[..1], String::new()),
            body => (&fields[..], body.to_string()),
        };
        Box::pin(self.api.ask(method, path, fields, body.as_bytes())).await
    }

    /// Each operation with a security requirement: method, path template, scope.
    fn operations(&self) -> Vec<(String, String, String)> {
        let description = &self.api.description;
        let operations = description.operations().into_iter().filter_map(|(path, method)| {
            let operation = &description.0["paths"][&path][&method];
            if operation["security"] == json!([]) {
                return None;
            }
            let scopes =
                operation["security"][0]["token"].as_array().unwrap_or_else(|| panic!("{method} {path}"));
            assert_eq!(scopes.len(), 1, "{method} {path} needs one scope");
            Some((method.to_uppercase(), path, scopes[0].as_str().unwrap().to_owned()))
        });
        operations.collect()
    }
}

/// A path of the template in this workspace, with ids that name nothing.
fn path_in(workspace: &str, template: &str) -> String {
    template
        .replace("{workspace}", workspace)
        .replace("/assets/{id}", &format!("/assets/{CALL}"))
        .replace("{id}", "no-such")
        .replace("{call_id}", "no-such")
        .replace("{name}", "no-such")
}

fn body_of(method: &str) -> Value {
    if matches!(method, "POST" | "PATCH") { json!({}) } else { Value::Null }
}

#[tokio::test]
async fn an_operation_takes_tokens_with_its_scope_and_no_others() {
    let site = TokenSite::start().await;
    let mut tokens = BTreeMap::new();
    for scope in Scope::ALL {
        tokens.insert(scope.name(), site.token(scope.name(), &[scope], None).await);
    }
    let mut named = BTreeSet::new();
    for (method, template, scope) in site.operations() {
        let path = path_in("acme", &template);
        for (of, token) in &tokens {
            let answer = site.send(token, &method, &path, &body_of(&method)).await;
            if *of == scope {
                assert!(!matches!(answer.status, 401 | 403), "{method} {path} with {of}: {answer:?}");
                continue;
            }
            let problem = answer.json();
            assert_eq!(
                (answer.status, problem["code"].as_str()),
                (403, Some("scope_missing")),
                "{method} {path}"
            );
            assert_eq!(problem["scope"], scope, "{method} {path}");
            assert!(problem["detail"].as_str().unwrap().contains(&format!("`{scope}`")));
        }
        named.insert(scope);
    }
    assert_eq!(named, Scope::ALL.iter().map(|scope| scope.name().to_owned()).collect());
}

#[tokio::test]
async fn a_token_for_a_workspace_neither_sees_nor_names_another() {
    let site = TokenSite::start().await;
    let receiver = Receiver::willing().await;
    let wish = json!({"url": receiver.url("/hook"), "description": "secret plans"});
    for workspace in ["acme", "other"] {
        let path = format!("/v1/workspaces/{workspace}/endpoints");
        assert_eq!(site.send(TOKEN, "POST", &path, &wish).await.status, 201);
    }
    let limited = Scope::ALL.into_iter().filter(|scope| !scope.needs_all_workspaces());
    let token = site.token("acme-only", &limited.collect::<Vec<_>>(), Some("acme")).await;
    let everything = Scope::ALL.map(Scope::name);
    for (method, template, scope) in site.operations() {
        if !everything[1..6].contains(&scope.as_str())
            || ["/v1/calls", "/v1/find"].iter().any(|begin| template.starts_with(begin))
        {
            continue;
        }
        // The answer is the same whether the workspace exists.
        let mut answers = Vec::new();
        for workspace in ["other", "never-seen"] {
            let path = path_in(workspace, &template);
            let answer = site.send(&token, &method, &path, &body_of(&method)).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (403, "workspace_not_allowed"),
                "{method} {path}"
            );
            answers.push(String::from_utf8(answer.body).unwrap());
        }
        assert_eq!(answers[0], answers[1], "{method} {template}");
        assert!(!answers[0].contains("secret plans"));
    }
    // The body names the workspace of a call.
    let assets = json!({"workspace": "other", "recording": CALL.to_string()});
    for (path, body) in [
        ("/v1/calls", webhooks::call("other", "call-1")),
        ("/v1/calls/call-1/assets", assets),
        ("/v1/find", json!({"query": "call-1", "workspace": "other"})),
        ("/v1/find", json!({"query": "call-1"})),
    ] {
        let answer = site.send(&token, "POST", path, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "workspace_not_allowed"), "{path}");
    }
    let own = site.send(&token, "POST", "/v1/calls", &webhooks::call("acme", "call-1")).await;
    assert_eq!(own.status, 202, "{own:?}");
    let find = json!({"query": "call-1", "workspace": "acme"});
    assert_eq!(site.send(&token, "POST", "/v1/find", &find).await.status, 200);
    let own = site.send(&token, "GET", "/v1/workspaces/acme/endpoints", &Value::Null).await;
    assert_eq!(own.json()["endpoints"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_gives_no_scope_that_it_lacks() {
    let site = TokenSite::start().await;
    let operator = site.token("ops", &[Scope::Operate, Scope::Read], None).await;
    let wish = json!({"name": "more", "scopes": ["read", "erase"]});
    let refused = site.send(&operator, "POST", "/v1/tokens", &wish).await;
    assert_eq!((refused.status, refused.json()["scope"].as_str()), (403, Some("erase")));
    let wish = json!({"name": "less", "scopes": ["read"]});
    assert_eq!(site.send(&operator, "POST", "/v1/tokens", &wish).await.status, 201);
}

#[tokio::test]
async fn a_token_ends_when_it_is_revoked_by_the_api_or_in_the_file() {
    let site = TokenSite::start().await;
    let path = "/v1/workspaces/acme/endpoints";
    let token = site.token("reader", &[Scope::Read], None).await;
    assert_eq!(site.send(&token, "GET", path, &Value::Null).await.status, 200);
    assert_eq!(site.send(TOKEN, "DELETE", "/v1/tokens/reader", &Value::Null).await.status, 204);
    assert_eq!(site.send(&token, "GET", path, &Value::Null).await.status, 401);

    // As the command line makes and revokes it; the program watches the file, this test's site reads on demand.
    let made =
        edit_file(&site.path(), |file| file.add("cli", [Scope::Read].into(), None, UnixSeconds(0))).unwrap();
    let listed = site.send(TOKEN, "GET", "/v1/tokens", &Value::Null).await;
    assert_eq!(listed.json()["tokens"][0]["name"], "cli");
    assert!(!String::from_utf8(listed.body).unwrap().contains("wat_"));
    let _other = site.token("other", &[Scope::Read], None).await;
    assert_eq!(site.send(made.reveal(), "GET", path, &Value::Null).await.status, 200);
}
