//! Three replicas, of which each minute one is killed and another is paused.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;

use super::receivers::Endpoint;
use crate::program::{Home, Process};

pub const REPLICAS: usize = 3;

/// How long a lease lasts: the deadline of an attempt, and 20 s.
pub const LEASE: Duration = Duration::from_secs(30);

/// A transaction may still be under way when its replica stops; an attempt of a running replica ends before the second look.
const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(14)];

pub struct Replicas {
    home: Arc<Home>,
    admins: Vec<String>,
    processes: Vec<Mutex<Process>>,
}

impl Replicas {
    pub fn start(home: &Arc<Home>) -> Self {
        let processes: Vec<_> = (0..REPLICAS).map(|at| launch(home, at, "127.0.0.1:0")).collect();
        let admins = processes.iter().map(|process| process.admin.clone()).collect();
        Self { home: Arc::clone(home), admins, processes: processes.into_iter().map(Mutex::new).collect() }
    }

    pub fn admins(&self) -> Vec<String> {
        self.admins.clone()
    }

    /// Kills a replica; starts it again after a while.
    async fn kill(&self, at: usize, down: Duration, database: &str) -> Disruption {
        let mut process = self.processes[at].lock().await;
        let began = Instant::now();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        let (abandoned, ()) = tokio::join!(leases(database, LOOKS), async {
            tokio::time::sleep(down).await;
            let address = self.admins[at].strip_prefix("http://").unwrap();
            *process = tokio::task::block_in_place(|| launch(&self.home, at, address));
        });
        Disruption { replica: at, began, paused: None, abandoned }
    }

    /// Stops a replica where it stands, and lets it go on later.
    async fn pause(&self, at: usize, paused: Duration, database: &str) -> Disruption {
        let process = self.processes[at].lock().await;
        let began = Instant::now();
        process.signal("STOP");
        let (abandoned, ()) = tokio::join!(leases(database, LOOKS), tokio::time::sleep(paused));
        process.signal("CONT");
        Disruption { replica: at, began, paused: Some(began.elapsed()), abandoned }
    }
}

fn launch(home: &Home, at: usize, admin: &str) -> Process {
    let mut command: Command = home.other(&["serve"]);
    command
        .env("WEBHOOK_ASSETS_LISTEN", "127.0.0.1:0")
        .env("WEBHOOK_ASSETS_ADMIN_LISTEN", admin)
        // The receivers see by its links which replica has sent an event.
        .env("WEBHOOK_ASSETS_PUBLIC_URL", format!("https://replica-{at}.example.com/api"));
    home.launch(command)
}

/// The ends of leases, by endpoint and event.
pub type Leases = HashMap<(Endpoint, String), i64>;

/// A replica that was killed or paused.
#[derive(Debug)]
pub struct Disruption {
    pub replica: usize,
    pub began: Instant,
    /// How long it was paused; `None` if it was killed.
    pub paused: Option<Duration>,
    /// The leases that were left behind, and when they end. Those of another replica that was stopped shortly before are
    /// among them.
    pub abandoned: Leases,
}

impl Disruption {
    pub fn kind(&self) -> &'static str {
        if self.paused.is_some() { "paused" } else { "killed" }
    }
}

/// The leases that are the same at both times: their holder has not ended an attempt in between.
async fn leases(database: &str, looks: [Duration; 2]) -> Leases {
    const LEASES: &str = "SELECT e.url, d.event_id, d.lease_until FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id \
                          WHERE d.state = 'sending'";
    let mut connection = PgConnection::connect(database).await.unwrap();
    let mut found: Option<HashSet<(String, String, i64)>> = None;
    let began = Instant::now();
    for look in looks {
        tokio::time::sleep(look.saturating_sub(began.elapsed())).await;
        let rows: Vec<_> = sqlx::query_as(LEASES).fetch_all(&mut connection).await.unwrap();
        let rows: HashSet<_> = rows.into_iter().collect();
        found = Some(match found {
            Some(earlier) => earlier.intersection(&rows).cloned().collect(),
            None => rows,
        });
    }
    let key = |url: &str, event| (Endpoint::of_url(url), event);
    found.unwrap_or_default().into_iter().map(|(url, event, until)| (key(&url, event), until)).collect()
}

/// Kills one replica in each minute, and pauses another.
pub async fn run(replicas: Arc<Replicas>, database: String, duration: Duration) -> Vec<Disruption> {
    let (began, mut disruptions) = (Instant::now(), Vec::new());
    for minute in 1_u32.. {
        let [victim, paused] = two_replicas();
        let kill = async {
            tokio::time::sleep(between(2_000, 40_000)).await;
            replicas.kill(victim, between(3_000, 8_000), &database).await
        };
        let pause = async {
            tokio::time::sleep(between(2_000, 15_000)).await;
            replicas.pause(paused, LEASE + between(5_000, 10_000), &database).await
        };
        let (killed, paused) = tokio::join!(kill, pause);
        let mut both = [killed, paused];
        both.sort_by_key(|disruption| disruption.began);
        for disruption in both {
            let Disruption { replica, abandoned, .. } = &disruption;
            println!(
                "      replica {replica} was {}, {} leases were left",
                disruption.kind(),
                abandoned.len()
            );
            disruptions.push(disruption);
        }
        let end = Duration::from_secs(60) * minute;
        if end >= duration {
            return disruptions;
        }
        tokio::time::sleep(end.saturating_sub(began.elapsed())).await;
    }
    disruptions
}

fn two_replicas() -> [usize; 2] {
    let first = random() % REPLICAS;
    [first, (first + 1 + random() % (REPLICAS - 1)) % REPLICAS]
}

fn between(least: usize, most: usize) -> Duration {
    Duration::from_millis(u64::try_from(least + random() % (most - least)).unwrap())
}

fn random() -> usize {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).unwrap();
    usize::try_from(u32::from_le_bytes(bytes)).unwrap()
}
