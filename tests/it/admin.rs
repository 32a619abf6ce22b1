//! The admin listener: health, metrics, minting, webhooks. Its OpenAPI description has to match its answers.

mod access;
mod audit_trail;
mod description;
mod health;
mod metrics;
mod minting;
mod scopes;
mod tokens;
mod webhooks;

use std::collections::BTreeSet;
use std::sync::Arc;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use crate::support::stores::FaultyStore;
use crate::support::{Answer, CALL, Plan, Site, sample_store};

const JSON: (&str, &str) = ("Content-Type", "application/json");

const TOKEN: &str = "a-token-for-tests-0123456789";

/// The admin listener of a site. Every answer is checked against the description.
struct AdminSite {
    site: Site,
    description: Description,
}

impl AdminSite {
    async fn usual() -> Self {
        Self::of(Plan::usual().await).await
    }

    async fn on_faulty_store() -> (Self, Arc<FaultyStore>) {
        let store = FaultyStore::around(sample_store().await);
        (Self::of(Plan::on(store.clone()).soon_out_of_patience()).await, store)
    }

    async fn with_token(token: &'static str) -> Self {
        Self::of(Plan { admin_token: Some(token), ..Plan::usual().await }).await
    }

    /// The admin listener of a site that sends webhooks.
    async fn sending() -> Self {
        Self::of(Plan::sending().await).await
    }

    async fn of(plan: Plan) -> Self {
        let site = plan.start().await;
        let description = Description(site.admin().request("GET", "/openapi.json", &[], b"").await.json());
        Self { site, description }
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.site.admin().request(method, path, fields, body).await;
        assert_eq!(answer.must("x-content-type-options"), "nosniff");
        assert_eq!(answer.must("cache-control"), "no-store");
        self.description.hold(method, path, &answer);
        answer
    }

    /// Sends a request with a JSON body.
    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, &[JSON], body.to_string().as_bytes()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    /// POSTs a JSON body and checks that the listener accepts it exactly if the description does.
    async fn mint(&self, wish: &Value) -> Answer {
        self.ask("POST", "/v1/links", &[JSON], wish.to_string().as_bytes()).await
    }
}

/// The Authorization header field with this bearer token.
fn bearing(token: &str) -> String {
    format!("Bearer {token}")
}

fn wish(kind: &str) -> Value {
    json!({"kind": kind, "id": CALL.to_string()})
}

/// The OpenAPI document (3.1: its schemas are JSON Schema 2020-12).
struct Description(Value);

impl Description {
    /// Every described path and method.
    fn operations(&self) -> BTreeSet<(String, String)> {
        let paths = self.0["paths"].as_object().unwrap();
        let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|m| (path.clone(), m))).collect()
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut whole = schema.clone();
        whole["components"] = self.0["components"].clone();
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        options.build(&whole).unwrap()
    }

    /// The described template that a path matches, or the path itself.
    fn template(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap();
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let same = |(part, segment): (&&str, &&str)| part.starts_with('{') || part == segment;
            parts.len() == segments.len() && parts.iter().zip(&segments).all(same)
        };
        let paths = self.0["paths"].as_object().unwrap();
        paths.keys().find(|template| fits(template)).cloned().unwrap_or_else(|| path.to_owned())
    }

    /// The described response of an operation for this status; follows a reference.
    fn response(&self, method: &str, path: &str, status: u16) -> &Value {
        let operation = &self.0["paths"][self.template(path)][method.to_lowercase()];
        let response = &operation["responses"][status.to_string()];
        match response["$ref"].as_str() {
            Some(reference) => self.0.pointer(&reference[1..]).unwrap(),
            None => response,
        }
    }

    /// Checks an answer of a described operation against its description.
    fn hold(&self, method: &str, path: &str, answer: &Answer) {
        if self.0["paths"][self.template(path)][method.to_lowercase()].is_null() {
            return;
        }
        let response = self.response(method, path, answer.status);
        assert!(response.is_object(), "{method} {path}: {} is not described", answer.status);
        let content = &response["content"];
        if content.is_null() {
            assert!(answer.body.is_empty(), "{method} {path}: {} has no body", answer.status);
            return;
        }
        let media_type = answer.must("content-type").split(';').next().unwrap();
        let schema = &content[media_type]["schema"];
        assert!(schema.is_object(), "{method} {path}: {} as {media_type} is not described", answer.status);
        let body = if media_type.ends_with("json") {
            answer.json()
        } else {
            Value::String(String::from_utf8(answer.body.clone()).unwrap())
        };
        let errors: Vec<String> = self.validator(schema).iter_errors(&body).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{method} {path} {}: {errors:?} in {body}", answer.status);
    }

    /// Whether the description of an operation accepts a body.
    fn accepts(&self, method: &str, path: &str, body: &Value) -> bool {
        let described = &self.0["paths"][self.template(path)][method.to_lowercase()]["requestBody"];
        self.validator(&described["content"]["application/json"]["schema"]).is_valid(body)
    }
}
