//! The test kills the program at random moments and starts it again at once, while calls come in without a pause, and
//! recordings of some of them later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use crate::program::{Caller, Database, Home, Process, call, variable};
use crate::receivers::Receivers;

/// How often the test kills it, in `cargo test`. `tests/run sender kills N` sets another number.
const KILLS: usize = 12;

/// How many calls come in at once.
const CALLERS: usize = 4;

/// How many events the program accepts between two kills, except before every third one: that may come before its first
/// answer.
const BETWEEN_KILLS: usize = 5;

/// How long the load may take to get its calls accepted.
const PATIENCE: Duration = Duration::from_secs(60);

/// A recording of fixtures/.
pub const RECORDING: &str = "550e8400-e29b-41d4-a716-446655440000";

fn kills() -> usize {
    variable("KILLS").and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_accepted_call_is_lost_when_the_program_is_killed_on_sqlite() {
    kill_while_calls_come_in(Database::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_accepted_call_is_lost_when_one_of_two_replicas_is_killed_on_postgresql() {
    if Database::all().contains(&Database::Postgres) {
        kill_while_calls_come_in(Database::Postgres, 1).await;
        kill_while_calls_come_in(Database::Postgres, 2).await;
    }
}

async fn kill_while_calls_come_in(database: Database, replicas: usize) {
    let receivers = Receivers::start().await;
    let home = Home::new(database).await;
    let mut processes: Vec<Process> = (0..replicas).map(|_| home.start("127.0.0.1:0")).collect();
    let admins: Vec<String> = processes.iter().map(|process| process.admin.clone()).collect();
    for workspace in 0..10 {
        let url = receivers.url(&format!("/{workspace}"));
        Caller::new().add_endpoint(&admins[0], &format!("w{workspace}"), &url).await;
    }

    let load = Load::start(&admins);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..kills() {
        if kill % 3 != 2 {
            load.more(BETWEEN_KILLS).await;
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis(20 + (seed >> 33) % 400)).await;
        let victim = kill % replicas;
        let address = admins[victim].strip_prefix("http://").unwrap().to_owned();
        processes[victim].child.kill().unwrap();
        processes[victim].child.wait().unwrap();
        processes[victim] = home.start(&address);
    }
    let accepted = load.stop().await;
    let began = Instant::now();
    all_end(&admins[0], &accepted, &receivers).await;
    let arrivals: u32 = receivers.events().values().map(|arrivals| arrivals.taken).sum();
    println!(
        "{database:?}, {replicas} process(es), killed {} times: {} events accepted, all ended {:.1} s after the last kill, taken {arrivals} times",
        kills(),
        accepted.len(),
        began.elapsed().as_secs_f64()
    );
}

/// Calls that come in without a pause.
pub struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<Mutex<HashMap<String, String>>>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub fn start(admins: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let accepted: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let next = Arc::new(AtomicU64::new(0));
        let callers = (0..CALLERS)
            .map(|_| {
                let (next, accepted, stop) = (Arc::clone(&next), Arc::clone(&accepted), Arc::clone(&stop));
                tokio::spawn(hand_in_calls(admins.to_vec(), next, accepted, stop))
            })
            .collect();
        Self { stop, accepted, callers }
    }

    /// The events to expect so far, with their calls.
    pub fn accepted(&self) -> HashMap<String, String> {
        self.accepted.lock().unwrap().clone()
    }

    /// Waits until the program has accepted this number of events more, however slow the machine is.
    pub async fn more(&self, events: usize) {
        let (began, wanted) = (Instant::now(), self.accepted().len() + events);
        while self.accepted().len() < wanted {
            assert!(began.elapsed() < PATIENCE, "{events} events are not accepted in {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the load where nobody answers any more.
    pub fn abandon(self) {
        for caller in self.callers {
            caller.abort();
        }
    }

    /// Stops the load; returns the events to expect, with their calls.
    pub async fn stop(self) -> HashMap<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.accepted.lock().unwrap().clone()
    }
}

/// Posts call after call, and says that the recording of every fourth one has arrived.
async fn hand_in_calls(
    admins: Vec<String>,
    next: Arc<AtomicU64>,
    accepted: Arc<Mutex<HashMap<String, String>>>,
    stop: Arc<AtomicBool>,
) {
    let caller = Caller::new();
    while !stop.load(Ordering::Relaxed) {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let (workspace, id) = (format!("w{}", at % 10), format!("call-{at}"));
        let admins: Vec<_> =
            (0..admins.len()).map(|to| &admins[(usize::try_from(at).unwrap() + to) % admins.len()]).collect();
        let answer = post_until_answered(&caller, &admins, "/v1/calls", &call(&workspace, &id)).await;
        let event = answer["event"].as_str().unwrap().to_owned();
        accepted.lock().unwrap().insert(event.clone(), id.clone());
        if at.is_multiple_of(4) {
            let report = json!({"workspace": workspace, "recording": RECORDING});
            post_until_answered(&caller, &admins, &format!("/v1/calls/{id}/assets"), &report).await;
            accepted.lock().unwrap().insert(format!("{event}_recording"), id);
        }
    }
}

/// Repeats an unanswered request, on another replica, until it is answered.
async fn post_until_answered(caller: &Caller, admins: &[&String], path: &str, body: &Value) -> Value {
    for attempt in 0.. {
        match caller.try_ask("POST", &format!("{}{path}", admins[attempt % admins.len()]), body).await {
            Some((StatusCode::ACCEPTED | StatusCode::OK, answer)) => return answer,
            Some((StatusCode::SERVICE_UNAVAILABLE, _)) | None => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Some((status, answer)) => panic!("{path}: {status}: {answer}"),
        }
    }
    unreachable!()
}

/// Waits until a receiver has accepted every event (its id, and its call), or the history says that it failed after four attempts.
pub async fn all_end(admin: &str, accepted: &HashMap<String, String>, receivers: &Receivers) {
    let caller = Caller::new();
    let patience = Duration::from_secs(120);
    let began = Instant::now();
    loop {
        let events = receivers.events();
        let missing: Vec<_> = accepted
            .iter()
            .filter(|(event, _)| events.get(*event).is_none_or(|arrivals| arrivals.taken == 0))
            .collect();
        let mut open = 0;
        for (event, call) in &missing {
            let number: u64 = call.strip_prefix("call-").unwrap().parse().unwrap();
            let url = format!("{admin}/v1/workspaces/w{}/deliveries?call_id={call}", number % 10);
            let answer = caller.ask("GET", &url, &Value::Null).await;
            let ended = has_ended(event, &answer);
            open += usize::from(!ended);
            assert!(
                ended || began.elapsed() < patience,
                "{event} of {call} was accepted and is lost: {answer}"
            );
        }
        if open == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Whether nothing more comes of an event that no receiver has accepted. A late recording has no event of its own if the
/// call's event carries its link, or has failed.
fn has_ended(event: &str, answer: &Value) -> bool {
    let deliveries = answer["deliveries"].as_array().unwrap();
    let of = |event: &str| deliveries.iter().find(|delivery| delivery["event"] == event);
    let has_failed =
        |delivery: &Value| delivery["status"] == "failed" && delivery["attempt_count"].as_u64() >= Some(4);
    if let Some(delivery) = of(event) {
        return has_failed(delivery);
    }
    let call = event.strip_suffix("_recording").and_then(of);
    let call = call.unwrap_or_else(|| panic!("{event} is not in the history: {answer}"));
    has_failed(call) || (call["status"] == "delivered" && !call["links_expire_at"].is_null())
}
