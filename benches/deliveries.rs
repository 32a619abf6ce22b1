//! What sending webhooks costs: the real program, alone on one core where `taskset` is installed, with receivers in
//! this process.
//!
//!     cargo bench --bench deliveries [-- throughput|latency|one|steady|pending|isolation …]
//!
//! Without arguments it runs all six. On SQLite; on PostgreSQL too if `tests/run sender bench` has started one.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    unreachable_pub,
    reason = "a benchmark may stop at an error"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use program::{Caller, Database, Home, Process};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

#[path = "../tests/sender/program.rs"]
mod program;

const CALLS: usize = 20_000;
const ENDPOINTS: usize = 100;
const CALLERS: usize = 64;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    // `cargo test --benches` runs benchmarks too, with this argument; there is nothing to test here.
    if words.iter().any(|word| word == "--test") {
        return;
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let receivers = Receivers::start().await;
        for database in Database::all() {
            if wanted("throughput") {
                throughput(database, &receivers, 1).await;
            }
            if wanted("throughput") && database == Database::Postgres {
                throughput(database, &receivers, 2).await;
            }
            if wanted("latency") {
                latency(database, &receivers).await;
            }
            if wanted("one") {
                one_endpoint(database, &receivers).await;
            }
            if wanted("steady") {
                steady(database, &receivers).await;
            }
            if wanted("pending") {
                pending(database, &receivers).await;
            }
            if wanted("isolation") {
                isolation(database, &receivers).await;
            }
        }
        println!("{} webhooks arrived a second time", receivers.repeated.load(Ordering::Relaxed));
    });
}

/// As many calls as the program accepts, to a hundred endpoints that answer at once.
async fn throughput(database: Database, receivers: &Receivers, replicas: usize) {
    let world = World::start(database, replicas).await;
    world.add_endpoints(receivers, ENDPOINTS, |at| format!("/fast/{at}")).await;
    receivers.forget();
    world.hand_in(2_000, 0).await;
    receivers.wait_for(2_000).await;
    receivers.forget();
    let (began, cpu) = (Instant::now(), world.cpu());
    world.hand_in(CALLS, 2_000).await;
    let accepted = began.elapsed();
    receivers.wait_for(CALLS).await;
    let (took, cpu) = (began.elapsed(), world.cpu() - cpu);
    println!(
        "{database:?}, {replicas} process(es): {:.0} deliveries/s ({:.0} calls accepted/s); {:.0} ms of its processor per 1,000",
        CALLS as f64 / took.as_secs_f64(),
        CALLS as f64 / accepted.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / CALLS as f64
    );
}

/// Two hundred calls a second: from before the call is posted to its first byte at the receiver.
async fn latency(database: Database, receivers: &Receivers) {
    let world = World::start(database, 1).await;
    world.add_endpoints(receivers, ENDPOINTS, |at| format!("/fast/{at}")).await;
    receivers.forget();
    world.hand_in(500, 0).await;
    receivers.wait_for(500).await;
    receivers.forget();
    let sent = world.hand_in_at_pace(2_000, 200, ENDPOINTS, 500).await;
    receivers.wait_for(2_000).await;
    let mut delays = receivers.delays(&sent);
    println!("{database:?}: handed in to first byte at the receiver, at 200/s: {}", percentiles(&mut delays));
}

/// As many calls as the program accepts, to one endpoint that answers at once.
async fn one_endpoint(database: Database, receivers: &Receivers) {
    const CALLS: usize = 10_000;
    let world = World::start(database, 1).await;
    world.add_endpoints(receivers, 1, |_| "/fast/one".to_owned()).await;
    receivers.forget();
    world.hand_in_to(1, 1_000, 0).await;
    receivers.wait_for(1_000).await;
    receivers.forget();
    let began = Instant::now();
    world.hand_in_to(1, CALLS, 1_000).await;
    let accepted = began.elapsed();
    receivers.wait_for(CALLS).await;
    println!(
        "{database:?}, one endpoint: {:.0} deliveries/s ({:.0} calls accepted/s)",
        CALLS as f64 / began.elapsed().as_secs_f64(),
        CALLS as f64 / accepted.as_secs_f64()
    );
}

/// Two hundred calls a second to one endpoint that answers after 100 ms: it needs twenty attempts at once.
async fn steady(database: Database, receivers: &Receivers) {
    let world = World::start(database, 1).await;
    world.add_endpoints(receivers, 1, |_| "/late/one".to_owned()).await;
    receivers.forget();
    world.hand_in_to(1, 500, 0).await;
    receivers.wait_for(500).await;
    receivers.forget();
    let sent = world.hand_in_at_pace(2_000, 200, 1, 500).await;
    receivers.wait_for(2_000).await;
    let mut delays = receivers.delays(&sent);
    println!(
        "{database:?}: one endpoint that answers after 100 ms, at 200/s, handed in to first byte: {}",
        percentiles(&mut delays)
    );
}

/// A hundred thousand pending deliveries of paused endpoints: memory, and the delay of another workspace's call.
async fn pending(database: Database, receivers: &Receivers) {
    let world = World::start(database, 1).await;
    world.add_endpoints(receivers, ENDPOINTS, |at| format!("/fast/{at}")).await;
    receivers.forget();
    world.hand_in(500, 0).await;
    receivers.wait_for(500).await;
    let before = world.resident();
    world.pause_all().await;
    world.hand_in(100_000, 500).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let with = world.resident();
    world.add_endpoint_in("other", &receivers.url("/fast/other")).await;
    receivers.forget();
    let mut sent = HashMap::new();
    for at in 0..200 {
        let began = Instant::now();
        sent.insert(world.call("other", &format!("other-{at}")).await, began);
    }
    receivers.wait_for(200).await;
    let mut delays = receivers.delays(&sent);
    println!(
        "{database:?}: resident {} MiB before, {} MiB with 100,000 deliveries pending; a call of another workspace: {}",
        before >> 20,
        with >> 20,
        percentiles(&mut delays)
    );
}

/// A thousand endpoints, three hundred of which hang for ten seconds; 300 calls a second to all of them.
async fn isolation(database: Database, receivers: &Receivers) {
    for hanging in [0, 300] {
        let world = World::start(database, 1).await;
        let path = |at: usize| if at < hanging { format!("/hang/{at}") } else { format!("/fast/{at}") };
        world.add_endpoints(receivers, 1_000, path).await;
        receivers.forget();
        let sent = world.hand_in_at_pace(9_000, 300, 1_000, 0).await;
        let willing = 9 * (1_000 - hanging);
        receivers.wait_for(willing).await;
        let mut delays = receivers.delays(&sent);
        println!(
            "{database:?}: 1,000 endpoints, {hanging} of them hang: the others' delays {}",
            percentiles(&mut delays)
        );
    }
}

fn percentiles(delays: &mut [Duration]) -> String {
    delays.sort();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!(
        "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, longest {:.1} ms ({} of them)",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        delays.len()
    )
}

/// Receivers in this process: `/fast/…` answers 200 at once, `/late/…` after 100 ms, `/hang/…` after ten seconds and more.
#[derive(Clone)]
struct Receivers {
    address: SocketAddr,
    arrived: Arc<AtomicUsize>,
    repeated: Arc<AtomicUsize>,
    first_seen: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Receivers {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receivers = Self {
            address: listener.local_addr().unwrap(),
            arrived: Arc::default(),
            repeated: Arc::default(),
            first_seen: Arc::default(),
        };
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

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        if request.uri().path().starts_with("/hang/") {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return Ok(Response::new(Full::default()));
        }
        let id = request.headers()["webhook-id"].to_str().unwrap().to_owned();
        let is_new = {
            let mut seen = self.first_seen.lock().unwrap();
            let before = seen.len();
            seen.entry(id).or_insert_with(Instant::now);
            seen.len() > before
        };
        let is_late = request.uri().path().starts_with("/late/");
        let _ = request.into_body().collect().await;
        if is_late {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let counter = if is_new { &self.arrived } else { &self.repeated };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(Full::default()))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn forget(&self) {
        self.arrived.store(0, Ordering::Relaxed);
        self.first_seen.lock().unwrap().clear();
    }

    async fn wait_for(&self, count: usize) {
        let began = Instant::now();
        while self.arrived.load(Ordering::Relaxed) < count {
            assert!(
                began.elapsed() < Duration::from_secs(300),
                "{} of {count} arrived",
                self.arrived.load(Ordering::Relaxed)
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn delays(&self, sent: &HashMap<String, Instant>) -> Vec<Duration> {
        let seen = self.first_seen.lock().unwrap();
        sent.iter().filter_map(|(id, began)| seen.get(id).map(|seen| seen.duration_since(*began))).collect()
    }
}

/// The program, once or with replicas, on a fresh database.
struct World {
    /// Goes with its folder when dropped.
    _home: Home,
    processes: Vec<Process>,
    caller: Caller,
}

impl World {
    async fn start(database: Database, replicas: usize) -> Self {
        let home = Home::new(database).await;
        let processes = (0..replicas).map(|core| home.start("127.0.0.1:0", Some(core))).collect();
        Self { _home: home, processes, caller: Caller::new() }
    }

    fn admin(&self, at: usize) -> &str {
        &self.processes[at % self.processes.len()].admin
    }

    async fn add_endpoint_in(&self, workspace: &str, url: &str) {
        self.caller.add_endpoint(self.admin(0), workspace, url).await;
    }

    /// One endpoint for each workspace `w0`, `w1` …
    async fn add_endpoints(&self, receivers: &Receivers, count: usize, path: impl Fn(usize) -> String) {
        for at in 0..count {
            self.add_endpoint_in(&format!("w{at}"), &receivers.url(&path(at))).await;
        }
    }

    async fn pause_all(&self) {
        for at in 0..ENDPOINTS {
            let path = format!("{}/v1/workspaces/w{at}/endpoints", self.admin(0));
            let list = self.caller.ask("GET", &path, &Value::Null).await;
            let id = list["endpoints"][0]["id"].as_str().unwrap().to_owned();
            self.caller.ask("PATCH", &format!("{path}/{id}"), &json!({"state": "paused"})).await;
        }
    }

    /// Posts one call; returns the event's id.
    async fn call(&self, workspace: &str, id: &str) -> String {
        let replica = usize::from(id.as_bytes()[id.len() - 1]);
        let url = format!("{}/v1/calls", self.admin(replica));
        let accepted = self.caller.ask("POST", &url, &program::call(workspace, id)).await;
        accepted["event"].as_str().unwrap().to_owned()
    }

    /// Posts `count` calls, as fast as the program accepts them.
    async fn hand_in(&self, count: usize, from: usize) {
        self.hand_in_to(ENDPOINTS, count, from).await;
    }

    /// The same for the first `workspaces` workspaces.
    async fn hand_in_to(&self, workspaces: usize, count: usize, from: usize) {
        let next = AtomicUsize::new(from);
        let caller = || async {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= from + count {
                    return;
                }
                self.call(&format!("w{}", at % workspaces), &format!("call-{at}")).await;
            }
        };
        futures_util::future::join_all((0..CALLERS).map(|_| caller())).await;
    }

    /// Posts `count` calls at this rate, without waiting for answers; returns when it posted each.
    async fn hand_in_at_pace(
        &self,
        count: usize,
        per_second: u32,
        workspaces: usize,
        from: usize,
    ) -> HashMap<String, Instant> {
        let sent = Mutex::new(HashMap::new());
        let began = Instant::now();
        let places = Semaphore::new(1_000);
        let all = (0..count).map(|at| {
            let (sent, places) = (&sent, &places);
            async move {
                let due = began + Duration::from_secs(1) / per_second * u32::try_from(at).unwrap();
                tokio::time::sleep_until(due.into()).await;
                let _place = places.acquire().await.unwrap();
                let id = from + at;
                let event = self.call(&format!("w{}", id % workspaces), &format!("paced-{id}")).await;
                sent.lock().unwrap().insert(event, due);
            }
        });
        futures_util::future::join_all(all).await;
        sent.into_inner().unwrap()
    }

    /// The processor time of all processes.
    fn cpu(&self) -> Duration {
        self.processes.iter().map(|process| cpu_of(process.child.id())).sum()
    }

    fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.processes[0].child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// User and system time of a process (fields 14 and 15 of its stat, in hundredths of a second).
fn cpu_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
