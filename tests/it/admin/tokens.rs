//! The requests for tokens that the description of each status needs.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::TOKEN;
use super::scopes::TokenSite;

#[tokio::test]
async fn a_wrong_wish_for_a_token_makes_none() {
    let site = TokenSite::start().await;
    let cases = [
        (json!({"name": "a b", "scopes": ["read"]}), 422),
        (json!({"name": "", "scopes": ["read"]}), 422),
        (json!({"name": "a", "scopes": []}), 422),
        (json!({"name": "a", "scopes": ["everything"]}), 422),
        (json!({"name": "a", "scopes": ["read"], "workspaces": []}), 422),
        (json!({"name": "a", "scopes": ["read"], "workspaces": [" "]}), 422),
        (json!({"name": "a", "scopes": ["read"], "token": "wat_mine"}), 422),
        (json!({"name": "a", "scopes": ["operate"], "workspaces": ["acme"]}), 409),
        (json!({"name": "a", "scopes": ["mint"], "workspaces": ["acme"]}), 409),
    ];
    for (wish, status) in cases {
        let answer = site.send(TOKEN, "POST", "/v1/tokens", &wish).await;
        assert_eq!(answer.status, status, "{wish}: {answer:?}");
    }
    let listed = site.send(TOKEN, "GET", "/v1/tokens", &Value::Null).await.json();
    assert_eq!(listed, json!({"tokens": []}));
}

#[tokio::test]
async fn the_file_has_hashes_and_is_for_its_owner_alone() {
    let site = TokenSite::start().await;
    let wish = json!({"name": "crm", "scopes": ["calls", "portal"], "workspaces": ["acme"]});
    let made = site.send(TOKEN, "POST", "/v1/tokens", &wish).await.json();
    let text = std::fs::read_to_string(site.path()).unwrap();
    assert!(text.contains("\"crm\"") && !text.contains(made["token"].as_str().unwrap()));
    assert_eq!(std::fs::metadata(site.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((&made["scopes"], &made["workspaces"]), (&json!(["calls", "portal"]), &json!(["acme"])));
}

#[tokio::test]
async fn a_tokens_file_that_cannot_be_read_changes_nothing() {
    let site = TokenSite::start().await;
    std::fs::write(site.path(), "no JSON").unwrap();
    let wish = json!({"name": "crm", "scopes": ["calls"]});
    for (method, path, body) in [
        ("GET", "/v1/tokens", &Value::Null),
        ("POST", "/v1/tokens", &wish),
        ("DELETE", "/v1/tokens/crm", &Value::Null),
    ] {
        let answer = site.send(TOKEN, method, path, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "tokens_file_failed"), "{method}");
    }
    assert_eq!(std::fs::read_to_string(site.path()).unwrap(), "no JSON");
}
