//! The settings page: who may sign in, what forms accept, who sees what, and what pages hold.

mod activity;
mod backfill;
mod call_filter;
mod deliveries;
mod embedding;
mod events;
mod forms;
mod headers;
mod isolation;
mod late_assets;
mod onboarding;
mod pages;
mod prefix;
mod recover;
mod sent_twice;
mod session_over;
mod sign_in;
mod webhook_list;
mod webhook_page;
mod words;

use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::waiting::until;
use crate::support::webhooks::settle;
use crate::support::{Answer, CALL, Plan, Site};

const TOKEN: &str = "a-token-for-tests-0123456789";
const ORIGIN: (&str, &str) = ("Origin", "http://localhost");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A site with a settings page, and a client of its admin API.
struct ConsoleSite {
    site: Site,
}

impl ConsoleSite {
    async fn usual() -> Self {
        Self::of(Plan::sending().await).await
    }

    async fn of(plan: Plan) -> Self {
        Self { site: Plan { admin_token: Some(TOKEN), ..plan }.start().await }
    }

    async fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let bearing = format!("Bearer {TOKEN}");
        let fields = [("Authorization", bearing.as_str()), ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let fields = if body.is_empty() { &fields[..1] } else { &fields[..] };
        let answer = self.site.admin().request(method, path, fields, body.as_bytes()).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.json()
    }

    /// Path and query of a portal link.
    async fn link(&self, workspace: &str, listen: bool) -> String {
        self.link_with(workspace, &json!({"listen": listen})).await
    }

    /// Path and query of a portal link with these fields.
    async fn link_with(&self, workspace: &str, wish: &Value) -> String {
        let path = format!("/v1/workspaces/{workspace}/portal-links");
        let minted = self.api("POST", &path, wish).await;
        minted["url"].as_str().unwrap().strip_prefix("http://localhost").unwrap().to_owned()
    }

    /// Uses a portal link as the page behind it does.
    async fn enter(&self, link: &str) -> Answer {
        let pass = link.split_once("?pass=").unwrap().1;
        let body = format!("pass={pass}");
        self.site.admin().request("POST", "/console/enter", &[ORIGIN, FORM], body.as_bytes()).await
    }

    /// A guest who signed in by a portal link.
    async fn guest(&self, workspace: &str, listen: bool) -> Guest<'_> {
        let answer = self.enter(&self.link(workspace, listen).await).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        Guest { console: self, cookie: cookie_of(&answer) }
    }

    /// The operator, signed in.
    async fn operator(&self) -> Guest<'_> {
        let body = format!("token={TOKEN}");
        let answer =
            self.site.admin().request("POST", "/console/sign-in", &[ORIGIN, FORM], body.as_bytes()).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        Guest { console: self, cookie: cookie_of(&answer) }
    }

    async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.site.admin().request("GET", path, fields, b"").await
    }

    /// Adds an endpoint; its id.
    async fn endpoint(&self, workspace: &str, receiver: &Receiver, description: &str) -> String {
        let path = format!("/v1/workspaces/{workspace}/endpoints");
        let url = receiver.url("/hook");
        let wish = json!({"url": url, "description": description, "allow_duplicate": true});
        let added = self.api("POST", &path, &wish).await;
        added["id"].as_str().unwrap().to_owned()
    }

    /// Posts a call and waits until its delivery is in this state; returns its id.
    async fn delivery(&self, call: &Value, state: &str) -> String {
        let accepted = self.api("POST", "/v1/calls", call).await;
        let id = accepted["deliveries"][0].as_str().unwrap().to_owned();
        let path = format!("/v1/workspaces/{}/deliveries/{id}", call["workspace"].as_str().unwrap());
        let sender = self.site.sender.as_ref().unwrap();
        let is_so = async || {
            settle(sender).await;
            if self.api("GET", &path, &Value::Null).await["status"] == state {
                return Some(());
            }
            // The clock stands still: the test moves it to each retry.
            self.site.clock.advance(std::time::Duration::from_secs(5));
            None
        };
        until(is_so, || format!("{id} is not {state}")).await;
        id
    }
}

/// A signed-in browser session.
struct Guest<'h> {
    console: &'h ConsoleSite,
    cookie: String,
}

impl Guest<'_> {
    async fn get(&self, path: &str) -> Answer {
        self.console.get(path, &[("Cookie", &self.cookie)]).await
    }

    /// The token that every form carries, from a page that has one.
    async fn csrf(&self) -> String {
        let page = text(&self.get("/console/w/acme").await);
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        let body = format!("csrf={}&{form}", self.csrf().await);
        self.post_as(path, &[ORIGIN, FORM], &body).await
    }

    /// Sends a form and follows the redirect.
    async fn post_and_follow(&self, path: &str, form: &str) -> Answer {
        let answer = self.post(path, form).await;
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        // A browser keeps the fragment to itself.
        self.get(answer.must("location").split('#').next().unwrap()).await
    }

    async fn post_as(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let fields = [&[("Cookie", self.cookie.as_str())], fields].concat();
        self.console.site.admin().request("POST", path, &fields, body.as_bytes()).await
    }
}

fn cookie_of(answer: &Answer) -> String {
    answer.must("set-cookie").split(';').next().unwrap().to_owned()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// The sample call of a workspace, with the sample assets.
fn call(workspace: &str, id: &str) -> Value {
    let sample = webhook_assets::webhook::CompletedCall::sample();
    let mut call = serde_json::to_value(sample).unwrap();
    call["workspace"] = workspace.into();
    call["call_id"] = id.into();
    call["recording"] = CALL.to_string().into();
    call["transcript"] = CALL.to_string().into();
    call
}
