//! Routes the requests of the admin listener.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::access::{require_all_workspaces, require_json};
use super::listener::Admin;
use super::refusals::Asked;
use super::response::{Answer, finish, json_answer, no_such_route, not_allowed, respond_with};
use super::upload::Upload;
#[cfg(feature = "sender")]
use super::webhooks::{self, ResourcePath};
use super::{erase, links, tokens};
#[cfg(feature = "console")]
use crate::console::AnswerBody;
#[cfg(feature = "sender")]
use crate::ledger::Action;
use crate::problem::Problem;
use crate::server::{self, Bodies, Client, Handler};
use crate::telemetry::metrics::MEDIA_TYPE;
use crate::tokens::Scope;

/// The body of an answer.
#[cfg(not(feature = "console"))]
type AnswerBody = http_body_util::Full<Bytes>;

/// The OpenAPI 3.1 description of this listener.
pub const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// The path of an erasure, before the id.
const ASSETS: &str = "/v1/assets/";

impl Admin {
    async fn answer(&self, request: Request<Upload>) -> Response<AnswerBody> {
        let path = request.uri().path().to_owned();
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = match (path.as_str(), read) {
            ("/healthz", true) => json_answer(StatusCode::OK, &json!({"status": "ok"})),
            // On the heap, because every request would make room for them: they are large, and rare.
            ("/readyz", true) => Box::pin(self.readiness()).await,
            ("/metrics", true) => respond_with(MEDIA_TYPE, self.metrics_page().into()),
            ("/openapi.json", true) => {
                respond_with("application/json", Bytes::from_static(OPENAPI.as_bytes()))
            }
            ("/v1/links", _) if *request.method() == Method::POST => self.links(request).await,
            ("/healthz" | "/readyz" | "/metrics" | "/openapi.json", false) => not_allowed("GET, HEAD"),
            ("/v1/links", _) => not_allowed("POST"),
            (path, _) if path.starts_with(ASSETS) && *request.method() == Method::DELETE => {
                self.erasure(&request, path.trim_start_matches(ASSETS)).await
            }
            (path, _) if path.starts_with(ASSETS) => not_allowed("DELETE"),
            (path, _) if tokens::is_below_root(path) => tokens::answer(self, request, path).await,
            #[cfg(feature = "console")]
            (path, _) if self.0.console.serves(path) => {
                let (head, upload) = request.into_parts();
                let (body, client) = upload.into_parts();
                return Box::pin(self.0.console.answer(head, body, &client)).await;
            }
            #[cfg(feature = "sender")]
            (path, _) => match ResourcePath::at(path) {
                Some(resource) => webhooks::answer(self, request, resource).await,
                None => no_such_route(),
            },
            #[cfg(not(feature = "sender"))]
            _ => no_such_route(),
        };
        answer.map(AnswerBody::from)
    }

    /// Renders the metrics, after updating those of the keyring.
    fn metrics_page(&self) -> String {
        self.0.services.keyring.update_metrics(self.0.services.clock.now(), self.0.services.longest_lifetime);
        self.0.services.registry.render()
    }

    async fn links(&self, request: Request<Upload>) -> Answer {
        finish(self.try_links(request).await)
    }

    async fn erasure(&self, request: &Request<Upload>, id: &str) -> Answer {
        finish(self.try_erasure(request, id).await)
    }

    async fn try_erasure(&self, request: &Request<Upload>, id: &str) -> Result<Answer, Problem> {
        // A recording's id does not tell its workspace.
        let principal = self.authorize(request, Scope::Erase)?;
        require_all_workspaces(&principal)?;
        let erased = erase::erase(&self.0.services.store, id).await?;
        #[cfg(feature = "sender")]
        {
            let action = Action {
                name: "asset.erased",
                subject: Some(id),
                after: Some(erased.clone()),
                ..Action::default()
            };
            webhooks::record(self, &principal, action).await;
        }
        Ok(json_answer(StatusCode::OK, &erased))
    }

    async fn try_links(&self, request: Request<Upload>) -> Result<Answer, Problem> {
        require_all_workspaces(&*self.authorize(&request, Scope::Mint)?)?;
        require_json(&request)?;
        let body = request.into_body().read().await?;
        links::mint(&self.0.services, &body).await.map(|links| json_answer(StatusCode::OK, &links))
    }
}

impl Handler for Admin {
    type Body = AnswerBody;

    const BODIES: Bodies = Bodies::Allowed;

    fn answer(&self, request: Request<Incoming>, client: Client) -> server::Answer<AnswerBody> {
        let this = self.clone();
        let asked = Asked::by(&request, client.address);
        let head = *request.method() == Method::HEAD;
        let (request, held) = Upload::of(request, client);
        server::Answer::awaited(async move {
            let _held = held;
            let answer = Admin::answer(&this, request).await;
            this.0.refusals.note(&asked, &answer);
            if head { answer.map(|_| AnswerBody::from(Bytes::new())) } else { answer }
        })
    }
}
