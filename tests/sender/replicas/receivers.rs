//! Receivers that note every arrival: what, when, from which replica, and what they answered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The limits of [`Endpoint::Limited`], in each process.
pub const CONCURRENCY: usize = 2;
pub const PER_SECOND: usize = 6;

/// How the receiver of an endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// Answers 200 at once.
    Good(usize),
    /// Answers 200 after 800 ms.
    Slow,
    /// Answers 200 after 250 ms; its owner has set limits.
    Limited,
    /// Answers 500 for a part of the run.
    Sick,
}

impl Endpoint {
    pub fn path(self) -> String {
        match self {
            Self::Good(number) => format!("/good-{number}"),
            Self::Slow => "/slow".to_owned(),
            Self::Limited => "/limited".to_owned(),
            Self::Sick => "/sick".to_owned(),
        }
    }

    pub fn of(path: &str) -> Self {
        match path {
            "/slow" => Self::Slow,
            "/limited" => Self::Limited,
            "/sick" => Self::Sick,
            good => Self::Good(good.strip_prefix("/good-").unwrap().parse().unwrap()),
        }
    }

    pub fn of_url(url: &str) -> Self {
        Self::of(&format!("/{}", url.rsplit_once('/').unwrap().1))
    }

    fn takes(self) -> Duration {
        Duration::from_millis(match self {
            Self::Slow => 800,
            Self::Limited => 250,
            Self::Good(_) | Self::Sick => 0,
        })
    }
}

/// One request of a sender.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The replica that has sent it.
    pub replica: usize,
    pub at: Instant,
    /// When it was answered with 200, if it was.
    pub taken: Option<Instant>,
}

/// The arrivals of each event at each endpoint, in their order.
pub type Arrivals = HashMap<(Endpoint, String), Vec<Arrival>>;

#[derive(Clone)]
pub struct Receivers(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    arrivals: Mutex<Arrivals>,
    is_failing: AtomicBool,
    /// Requests at [`Endpoint::Limited`], and the most at a time.
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl Receivers {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receivers = Self(Arc::new(Inner {
            address: listener.local_addr().unwrap(),
            arrivals: Mutex::default(),
            is_failing: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        }));
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

    pub fn url(&self, endpoint: Endpoint) -> String {
        format!("http://{}{}", self.0.address, endpoint.path())
    }

    /// Whether the sick receiver fails from now on.
    pub fn fail(&self, fails: bool) -> Instant {
        self.0.is_failing.store(fails, Ordering::SeqCst);
        println!("      the sick receiver {}", if fails { "fails" } else { "is well again" });
        Instant::now()
    }

    pub fn arrivals(&self) -> Arrivals {
        self.0.arrivals.lock().unwrap().clone()
    }

    pub fn most_in_flight(&self) -> usize {
        self.0.most_in_flight.load(Ordering::SeqCst)
    }

    pub fn progress(&self) -> String {
        let arrivals = self.0.arrivals.lock().unwrap();
        let (mut all, mut taken, mut repeated) = (0, 0, 0);
        for arrivals in arrivals.values() {
            let times = arrivals.iter().filter(|arrival| arrival.taken.is_some()).count();
            all += arrivals.len();
            taken += times.min(1);
            repeated += times.saturating_sub(1);
        }
        format!("{all} requests arrived, {taken} deliveries were taken, {repeated} of them again")
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let endpoint = Endpoint::of(request.uri().path());
        let event = request.headers()["webhook-id"].to_str().unwrap().to_owned();
        let _counted = (endpoint == Endpoint::Limited).then(|| Counted::new(Arc::clone(&self.0)));
        let at = Instant::now();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let Some(replica) = sender_of(&body) else {
            // A killed sender has sent half of it.
            return Ok(Response::builder().status(StatusCode::BAD_REQUEST).body(Full::default()).unwrap());
        };
        let key = (endpoint, event);
        let number = {
            let mut arrivals = self.0.arrivals.lock().unwrap();
            let arrivals = arrivals.entry(key.clone()).or_default();
            arrivals.push(Arrival { replica, at, taken: None });
            arrivals.len() - 1
        };
        tokio::time::sleep(endpoint.takes()).await;
        if endpoint == Endpoint::Sick && self.0.is_failing.load(Ordering::SeqCst) {
            let failed = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR);
            return Ok(failed.body(Full::default()).unwrap());
        }
        self.0.arrivals.lock().unwrap().get_mut(&key).unwrap()[number].taken = Some(Instant::now());
        Ok(Response::new(Full::default()))
    }
}

/// Each replica mints links of its own host. `None` for a body that has been cut off.
fn sender_of(body: &[u8]) -> Option<usize> {
    let call: serde_json::Value = serde_json::from_slice(body).ok()?;
    let link = call.pointer("/call/recording_url")?.as_str()?;
    link.strip_prefix("https://replica-")?.split_once('.')?.0.parse().ok()
}

/// A request that is being answered. The sender may give up meanwhile, and its connection with it.
struct Counted(Arc<Inner>);

impl Counted {
    fn new(inner: Arc<Inner>) -> Self {
        let now = inner.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        inner.most_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
