//! A webhook receiver on this machine: it keeps the webhooks that arrive, and answers as the test chooses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::waiting::WAIT_LIMIT;

/// A webhook that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: http::Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// A header field's value.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a receiver does with a webhook.
#[derive(Debug, Clone)]
pub enum Reaction {
    /// Answers with this status and body.
    Answer(u16, &'static str),
    /// Answers with this status and header field.
    Field(u16, &'static str, &'static str),
    /// Sends nothing for this long, then 200.
    Late(Duration),
    /// Sends nothing for this long, then this status.
    LateAnswer(Duration, u16),
}

type React = dyn Fn(usize, &Received) -> Reaction + Send + Sync;

/// A receiver; clones share the webhooks that arrived.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    arrived: Arc<Notify>,
    unanswered: Arc<Unanswered>,
}

/// How many webhooks wait for their answer: now, and the most at once.
#[derive(Default)]
struct Unanswered {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn willing() -> Self {
        Self::start(|_, _| Reaction::Answer(200, "OK")).await
    }

    /// Answers as `react` says, which gets the number of earlier webhooks and this one.
    pub async fn start(react: impl Fn(usize, &Received) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            arrived: Arc::default(),
            unanswered: Arc::default(),
        };
        let react: Arc<React> = Arc::new(react);
        let serving = receiver.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (serving, react) = (serving.clone(), Arc::clone(&react));
                let answer = service_fn(move |request| serving.clone().answer(request, Arc::clone(&react)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        receiver
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        react: Arc<React>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = head.uri.path().to_owned();
        let received = Received { method: head.method, path, headers: head.headers, body };
        let before = {
            let mut all = self.received.lock().unwrap();
            all.push(received.clone());
            all.len() - 1
        };
        let now = self.unanswered.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.unanswered.most.fetch_max(now, Ordering::SeqCst);
        self.arrived.notify_waiters();
        let (status, field, body) = match react(before, &received) {
            Reaction::Answer(status, body) => (status, None, body),
            Reaction::Field(status, name, value) => (status, Some((name, value)), ""),
            Reaction::Late(pause) => {
                tokio::time::sleep(pause).await;
                (200, None, "")
            }
            Reaction::LateAnswer(pause, status) => {
                tokio::time::sleep(pause).await;
                (status, None, "")
            }
        };
        self.unanswered.now.fetch_sub(1, Ordering::SeqCst);
        let mut response = Response::builder().status(status);
        if let Some((name, value)) = field {
            response = response.header(name, value);
        }
        Ok(response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
    }

    /// Its URL, with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many webhooks it had at once before it answered one of them.
    pub fn most_at_once(&self) -> usize {
        self.unanswered.most.load(Ordering::SeqCst)
    }

    /// Waits until this number of webhooks has arrived.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let patience = tokio::time::sleep(WAIT_LIMIT);
        tokio::pin!(patience);
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            tokio::select! {
                () = arrived => {}
                () = &mut patience => panic!("only {} of {count} webhooks arrived", received.len()),
            }
        }
    }
}
