//! The requests for tokens that the description of each status needs.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::description::{Seen, see_slow_bodies};
use super::scopes::TokenSite;
use super::{AdminSite, JSON, TOKEN, bearing};

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

/// The named tokens: with a file of them, without one, with a broken one.
pub(super) async fn see_tokens(seen: &mut Seen) {
    let (api, guarded) = (AdminSite::usual().await, AdminSite::with_token(TOKEN).await);
    let site = TokenSite::start().await;
    let wish = json!({"name": "reader", "scopes": ["read"]}).to_string();
    let made = site.send(TOKEN, "POST", "/v1/tokens", &json!({"name": "x", "scopes": ["read"]})).await.json();
    let (operator, reader) = (bearing(TOKEN), bearing(made["token"].as_str().unwrap()));
    let bearers = [operator.as_str(), reader.as_str(), operator.as_str()];
    let operations = [("POST", "/v1/tokens"), ("GET", "/v1/tokens"), ("DELETE", "/v1/tokens/reader")];
    for (method, path) in operations {
        let body = if method == "POST" { wish.as_bytes() } else { b"" };
        seen.ask(&guarded, method, path, &[], b"").await;
        seen.ask(&api, method, path, &[JSON], body).await;
        for bearer in bearers {
            seen.ask(&site.api, method, path, &[("Authorization", bearer), JSON], body).await;
        }
    }
    let operator = ("Authorization", operator.as_str());
    let large = " ".repeat((1 << 20) + 1);
    for (fields, body) in [
        (&[operator, JSON][..], "{"),
        (&[operator, JSON], large.as_str()),
        (&[operator], "{}"),
        (&[operator, JSON], "{}"),
    ] {
        seen.ask(&site.api, "POST", "/v1/tokens", fields, body.as_bytes()).await;
    }
    see_slow_bodies(seen, &api, &[("POST", "/v1/tokens".to_owned())]).await;
    std::fs::write(site.path(), "{").unwrap();
    for (method, path) in operations {
        let body = if method == "POST" { wish.as_bytes() } else { b"" };
        seen.ask(&site.api, method, path, &[operator, JSON], body).await;
    }
}
