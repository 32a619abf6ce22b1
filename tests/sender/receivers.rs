//! Receivers in this process, and the events that arrived at them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// How often an event arrived, and how often the receiver accepted it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrivals {
    pub arrived: u32,
    pub taken: u32,
}

/// Receivers that accept most events, and refuse one in eight the first two times.
#[derive(Clone)]
pub struct Receivers {
    pub address: SocketAddr,
    events: Arc<Mutex<HashMap<String, Arrivals>>>,
}

impl Receivers {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receivers = Self { address: listener.local_addr().unwrap(), events: Arc::default() };
        let serving = receivers.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = serving.clone();
                let answer = service_fn(move |request| serving.clone().answer(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        receivers
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The events that arrived, by `webhook-id`.
    pub fn events(&self) -> HashMap<String, Arrivals> {
        self.events.lock().unwrap().clone()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let id = request.headers()["webhook-id"].to_str().unwrap().to_owned();
        let whole = request.into_body().collect().await.is_ok();
        let mut events = self.events.lock().unwrap();
        let arrivals = events.entry(id.clone()).or_default();
        arrivals.arrived += 1;
        let awkward = id.as_bytes().last().is_some_and(|last| last.is_multiple_of(8));
        let takes = whole && (!awkward || arrivals.arrived > 2);
        arrivals.taken += u32::from(takes);
        let status = if takes { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        Ok(Response::builder().status(status).body(Full::default()).unwrap())
    }
}
