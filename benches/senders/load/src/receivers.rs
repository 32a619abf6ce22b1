//! Receivers: each answers 200, `/fast/…` at once and `/late/MS/…` after MS milliseconds; `/hang/…` never answers.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Clone)]
pub struct Receivers {
    pub address: SocketAddr,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    /// Key by path.
    secrets: RefCell<HashMap<String, Hmac<Sha256>>>,
    /// When the head of each webhook arrived first, by its id.
    seen: RefCell<HashMap<String, Instant>>,
    /// Webhooks that were answered.
    delivered: Cell<usize>,
    last: Cell<Option<Instant>>,
    repeated: Cell<usize>,
    unsigned: Cell<usize>,
    verify: Cell<bool>,
    arrival: Notify,
}

impl Receivers {
    pub async fn start(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind(address).await?;
        let receivers = Self { address: listener.local_addr()?, state: Rc::default() };
        tokio::task::spawn_local(receivers.clone().accept(listener));
        Ok(receivers)
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(self.clone().serve(stream));
        }
    }

    async fn serve(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let answer = service_fn(|request| self.answer(request));
        // A sender that gives up on an attempt closes its connection.
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let arrived = Instant::now();
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path.starts_with("/hang/") {
            std::future::pending::<()>().await;
        }
        let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
        let is_first = self.note(path, &head.headers, &body.to_bytes(), arrived);
        if let Some(late) = path.strip_prefix("/late/").and_then(|rest| rest.split('/').next()?.parse().ok())
        {
            tokio::time::sleep(Duration::from_millis(late)).await;
        }
        if is_first {
            self.state.delivered.set(self.state.delivered.get() + 1);
            self.state.last.set(Some(Instant::now()));
            self.state.arrival.notify_one();
        }
        Ok(Response::new(Full::default()))
    }

    /// Whether this webhook arrives for the first time.
    fn note(&self, path: &str, headers: &HeaderMap, body: &[u8], arrived: Instant) -> bool {
        let state = &self.state;
        if self.is_signed(path, headers, body).is_none() {
            state.unsigned.set(state.unsigned.get() + 1);
        }
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let mut seen = state.seen.borrow_mut();
        let before = seen.len();
        seen.entry(id.to_owned()).or_insert(arrived);
        let is_first = seen.len() > before;
        if !is_first {
            state.repeated.set(state.repeated.get() + 1);
        }
        is_first
    }

    /// `None` without a signature, or with a wrong one if it is to be verified.
    fn is_signed(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Option<()> {
        let field = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let signature = field("webhook-signature")?.strip_prefix("v1,")?;
        if self.state.verify.get() {
            let mut mac = self.state.secrets.borrow().get(path)?.clone();
            mac.update(format!("{}.{}.", field("webhook-id")?, field("webhook-timestamp")?).as_bytes());
            mac.update(body);
            mac.verify_slice(&STANDARD.decode(signature).ok()?).ok()?;
        }
        Some(())
    }

    /// Remembers the secret of the endpoint at this path.
    pub fn know(&self, path: String, secret: &str) -> Result<(), Box<dyn Error>> {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").ok_or("not a secret")?)?;
        self.state.secrets.borrow_mut().insert(path, Hmac::new_from_slice(&key)?);
        Ok(())
    }

    /// Forgets what arrived.
    pub fn begin(&self, verify: bool) {
        self.state.seen.borrow_mut().clear();
        self.state.verify.set(verify);
        self.state.last.set(None);
        for counter in [&self.state.delivered, &self.state.repeated, &self.state.unsigned] {
            counter.set(0);
        }
    }

    pub async fn wait_for(&self, count: usize, deadline: Instant) {
        while self.delivered() < count {
            if tokio::time::timeout_at(deadline, self.state.arrival.notified()).await.is_err() {
                return;
            }
        }
    }

    pub fn delivered(&self) -> usize {
        self.state.delivered.get()
    }

    pub fn repeated(&self) -> usize {
        self.state.repeated.get()
    }

    pub fn unsigned(&self) -> usize {
        self.state.unsigned.get()
    }

    /// When the last new webhook was answered.
    pub fn last(&self) -> Option<Instant> {
        self.state.last.get()
    }

    pub fn seen(&self, event: &str) -> Option<Instant> {
        self.state.seen.borrow().get(event).copied()
    }
}
