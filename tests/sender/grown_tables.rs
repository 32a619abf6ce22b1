//! What a delivery reads in large tables, by sessions that planned their statements while the tables were small. PostgreSQL keeps
//! such plans, and nothing is wrong with them until the tables have grown.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::program::{Caller, Database, Home, Process, call};
use crate::receivers::Receivers;

/// How many calls are sent while the tables are small, and again when they are large.
const CALLS: usize = 48;

/// How many deliveries of a paused endpoint wait, and how many were delivered before: as many of each.
const FILLED: usize = 20_000;

/// The most pages of 8 KiB that a statement may read for each row that it returns or writes: a call has entries in some thirty
/// indexes, each of which takes a few pages. Reading a whole table takes thousands.
const MAX_PAGES: f64 = 300.0;

/// Statements that read what waits as a whole, with the reason.
const COUNTING: [(&str, &str); 4] = [
    ("SELECT (SELECT count(*) FROM deliveries", "every ten seconds it counts the backlog for the metrics"),
    (
        "UPDATE deliveries SET due_at = CASE WHEN scheduled_at IS NULL",
        "it corrects times in the first ten seconds",
    ),
    ("SELECT count(*) FROM deliveries WHERE workspace", "this test waits by it"),
    ("WITH several AS", "every ten seconds it folds the figures"),
];

/// Makes the tables large, with copies of a delivery that waits and of one that was delivered.
const FILL: &str = "
    CREATE TEMP TABLE copied AS
        SELECT d.id, d.event_id, '_' || lpad(copy::text, 6, '0') AS mark, copy FROM generate_series(1, $FILLED) AS copy,
        LATERAL (SELECT id, event_id FROM deliveries WHERE state = 'queued' LIMIT 1) AS d
        UNION ALL
        SELECT d.id, d.event_id, '_' || lpad(copy::text, 6, '0'), copy FROM generate_series(1, $FILLED) AS copy,
        LATERAL (SELECT id, event_id FROM deliveries WHERE state = 'delivered' LIMIT 1) AS d;
    INSERT INTO events SELECT (jsonb_populate_record(v, jsonb_build_object('id', v.id || mark, 'call_id', v.call_id || mark,
        'accepted_at', v.accepted_at - copy))).* FROM copied JOIN events v ON v.id = event_id;
    INSERT INTO deliveries SELECT (jsonb_populate_record(d, jsonb_build_object('id', d.id || mark, 'event_id', d.event_id || mark,
        'due_at', d.due_at - copy, 'created_at', d.created_at - copy, 'active_at', d.active_at - copy))).*
        FROM copied JOIN deliveries d USING (id);
    INSERT INTO attempts SELECT (jsonb_populate_record(a, jsonb_build_object('delivery_id', delivery_id || mark))).*
        FROM copied JOIN attempts a ON a.delivery_id = id;";

/// A program on a PostgreSQL database without statistics, as it is until the first autovacuum.
struct Site {
    home: Home,
    process: Process,
    receivers: Receivers,
    connection: PgConnection,
}

impl Site {
    async fn start() -> Self {
        let home = Home::new(Database::Postgres).await;
        let process = home.start("127.0.0.1:0");
        let mut connection = PgConnection::connect(&home.database).await.unwrap();
        for table in ["endpoints", "events", "deliveries", "attempts", "delivery_counts", "endpoint_hours"] {
            let off = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
            sqlx::raw_sql(AssertSqlSafe(off)).execute(&mut connection).await.unwrap();
        }
        sqlx::raw_sql("CREATE EXTENSION pg_stat_statements").execute(&mut connection).await.unwrap();
        let receivers = Receivers::start().await;
        let caller = Caller::new();
        caller.add_endpoint(&process.admin, "acme", &receivers.url("/hook")).await;
        let idle = caller.add_endpoint(&process.admin, "idle", &receivers.url("/idle")).await;
        let pause = format!("{}/v1/workspaces/idle/endpoints/{idle}", process.admin);
        caller.ask("PATCH", &pause, &json!({"state": "paused"})).await;
        Self { home, process, receivers, connection }
    }

    async fn number(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.connection).await.unwrap()
    }

    /// Posts a call.
    fn post(&self, workspace: &str, id: &str) -> impl Future<Output = Value> + Send + 'static {
        let (url, call) = (format!("{}/v1/calls", self.process.admin), call(workspace, id));
        async move { Caller::new().ask("POST", &url, &call).await }
    }

    /// Posts calls at once.
    async fn post_at_once(&self, workspace: &str, name: &str, calls: usize) {
        let posted: Vec<_> = (0..calls)
            .map(|number| tokio::spawn(self.post(workspace, &format!("{name}-{number}"))))
            .collect();
        for posted in posted {
            posted.await.unwrap();
        }
    }

    /// Sends calls: several at once, so that some are queued; then each for itself, so that statements write few rows. Some have to
    /// be tried again, and one is sent again.
    async fn send(&mut self, name: &str) {
        let admin = self.process.admin.clone();
        self.post_at_once("acme", &format!("{name}-at-once"), CALLS / 2).await;
        for number in 0..CALLS / 2 {
            self.post("acme", &format!("{name}-{number}")).await;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let caller = Caller::new();
        let deliveries = format!("{admin}/v1/workspaces/acme/deliveries");
        let listed = caller.ask("GET", &deliveries, &Value::Null).await;
        self.settle().await;
        let sent = listed["deliveries"][0]["id"].as_str().unwrap();
        caller.ask("POST", &format!("{deliveries}/{sent}/resend"), &Value::Null).await;
        // Two looks at the queues.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        self.settle().await;
    }

    async fn settle(&mut self) {
        const PENDING: &str = "SELECT count(*) FROM deliveries WHERE workspace <> 'idle' AND state NOT IN ('delivered', 'failed')";
        let began = Instant::now();
        while self.number(PENDING).await > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "a delivery does not end\n{}",
                self.home.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A statement of the program: its text, and the pages that it read for each row.
type Read = (String, f64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_reads_as_much_in_large_tables_as_in_small_ones() {
    if !Database::all().contains(&Database::Postgres) {
        return;
    }
    let mut site = Site::start().await;
    site.post("idle", "waits").await;
    site.send("early").await;
    let fill = FILL.replace("$FILLED", &FILLED.to_string());
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut site.connection).await.unwrap();
    let waiting = site.number("SELECT count(*) FROM deliveries WHERE state = 'queued'").await;
    assert_eq!(usize::try_from(waiting).unwrap(), FILLED + 1);

    sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(&mut site.connection).await.unwrap();
    site.send("late").await;
    let read: Vec<Read> = sqlx::query_as(
        "SELECT query, (sum(shared_blks_hit + shared_blks_read) / sum(greatest(calls, rows)))::float8 AS pages \
         FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND calls > 0 GROUP BY query ORDER BY pages DESC",
    )
    .fetch_all(&mut site.connection)
    .await
    .unwrap();
    let is_counting = |query: &str| COUNTING.iter().any(|(beginning, _)| query.starts_with(beginning));
    let greedy: Vec<&Read> =
        read.iter().filter(|(query, pages)| *pages > MAX_PAGES && !is_counting(query)).collect();
    assert!(greedy.is_empty(), "these statements read the more the larger the tables are:\n{greedy:#?}");
    let written = |what: &str| read.iter().any(|(query, _)| query.contains(what));
    for statement in
        ["INSERT INTO events", "INSERT INTO attempts", "FOR UPDATE SKIP LOCKED", "WITH RECURSIVE line"]
    {
        assert!(written(statement), "{statement} was not run");
    }
    println!(
        "{} statements beside {waiting} deliveries that wait: at most {:.0} pages a row",
        read.len(),
        read.iter().find(|(query, _)| !is_counting(query)).map_or(0.0, |(_, pages)| *pages)
    );
    assert!(site.receivers.events().len() > CALLS);
}
