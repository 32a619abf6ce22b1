//! The settings page of two processes on one PostgreSQL database, and of one process on SQLite: a form that both answer, a page
//! that hears what the other process has done, and the figures that the database's triggers keep.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::program::{Caller, Database, Home, Process, call};
use crate::receivers::Receivers;

/// How long a test waits for an event that must happen.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

const PAGE: &str = "/console/w/acme";

/// The processes that share a database, and the addresses of two of them; SQLite has one process, which is both.
struct Site {
    processes: Vec<Process>,
    home: Home,
}

impl Site {
    async fn start(database: Database) -> Self {
        let home = Home::new(database).await;
        let count = if database == Database::Postgres { 2 } else { 1 };
        let processes = (0..count).map(|_| home.start("127.0.0.1:0")).collect();
        Self { processes, home }
    }

    fn first(&self) -> &str {
        &self.processes[0].admin
    }

    fn second(&self) -> &str {
        &self.processes[self.processes.len() - 1].admin
    }

    async fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        Caller::new().ask(method, &format!("{}{path}", self.first()), body).await
    }

    async fn accept(&self, id: &str) {
        self.api("POST", "/v1/calls", &call("acme", id)).await;
    }

    /// How many deliveries have not ended.
    async fn pending(&self) -> i64 {
        const COUNT: &str = "SELECT count(*) FROM deliveries WHERE state IN ('waiting', 'queued', 'sending')";
        let database = &self.home.database;
        if database.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(database).await.unwrap();
            return sqlx::query_scalar(COUNT).fetch_one(&mut connection).await.unwrap();
        }
        let mut connection = PgConnection::connect(database).await.unwrap();
        sqlx::query_scalar(COUNT).fetch_one(&mut connection).await.unwrap()
    }

    /// Waits until every delivery has ended.
    async fn settle(&self) {
        let began = Instant::now();
        while self.pending().await > 0 {
            assert!(began.elapsed() < WAIT_LIMIT, "a delivery does not end\n{}", self.home.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The pass of a new portal link.
async fn portal_pass(site: &Site) -> String {
    let link = site.api("POST", "/v1/workspaces/acme/portal-links", &json!({})).await;
    link["url"].as_str().unwrap().split_once("?pass=").unwrap().1.to_owned()
}

fn cookie_of(answer: &Response<Incoming>) -> Option<String> {
    let cookie = answer.headers().get("set-cookie")?.to_str().unwrap();
    cookie.split(';').next().map(str::to_owned)
}

/// A person's browser, which knows every process by the same session.
struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    cookie: String,
}

impl Browser {
    fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), cookie: String::new() }
    }

    async fn sign_in(site: &Site) -> Self {
        let browser = Self::new();
        let answer = browser
            .send("POST", site.first(), "/console/enter", &format!("pass={}", portal_pass(site).await))
            .await;
        Self { cookie: cookie_of(&answer).unwrap(), ..browser }
    }

    async fn send(&self, method: &str, process: &str, path: &str, form: &str) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("{process}{path}"));
        if method == "POST" {
            request = request.header("origin", process);
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let request = request.header("cookie", &self.cookie).body(Full::from(form.to_owned())).unwrap();
        self.client.request(request).await.unwrap()
    }

    async fn page(&self, process: &str, path: &str) -> String {
        let answer = self.send("GET", process, path, "").await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    /// Sends a form; where its answer leads.
    async fn post(&self, process: &str, path: &str, form: &str) -> String {
        let answer = self.send("POST", process, path, form).await;
        let location = answer.headers().get("location").map(|location| location.to_str().unwrap().to_owned());
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        location.unwrap_or_else(|| panic!("{path}: {status} {}", String::from_utf8_lossy(&body)))
    }

    /// Sends a form of one page to both processes at once, and then once more, as after a reload. Where the answers lead.
    async fn post_thrice(&self, site: &Site, path: &str, values: &str) -> String {
        let page = self.page(site.first(), PAGE).await;
        let csrf = page.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap();
        let form = format!("csrf={csrf}&{values}");
        let path = format!("{PAGE}/{path}");
        let (first, second) =
            tokio::join!(self.post(site.first(), &path, &form), self.post(site.second(), &path, &form));
        let third = self.post(site.second(), &path, &form).await;
        assert_eq!([&second, &third], [&first, &first], "{path}");
        first
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_two_processes_answer_at_once_is_done_once() {
    const ROUNDS: usize = 5;
    const CALLS: usize = 3;
    for database in Database::all() {
        let (receivers, site) = (Receivers::start().await, Site::start(database).await);
        Caller::new().add_endpoint(site.first(), "acme", &receivers.url("/first")).await;
        for number in 0..CALLS {
            site.accept(&format!("call-{number}")).await;
        }
        site.settle().await;
        let browser = Browser::sign_in(&site).await;
        for round in 0..ROUNDS {
            let url: String =
                url::form_urlencoded::byte_serialize(receivers.url(&format!("/{round}")).as_bytes())
                    .collect();
            let added = browser.post_thrice(&site, "webhooks/new", &format!("url={url}&anyway=1")).await;
            let id = added.split_once("/webhooks/").unwrap().1.split('?').next().unwrap();
            let webhook = format!("webhooks/{id}");
            browser.post_thrice(&site, &format!("{webhook}/backfill"), "within=all").await;
            let test = browser.post_thrice(&site, &format!("{webhook}/test"), "").await;
            browser.post_thrice(&site, &format!("{webhook}/rotate"), "").await;
            browser.post_thrice(&site, &format!("{webhook}/pause"), "").await;
            browser.post_thrice(&site, &format!("{webhook}/resume"), "").await;
            site.settle().await;
            browser.post_thrice(&site, "recover", &format!("within=24h&which=all&webhook={id}")).await;
            let test = test.split_once("/deliveries/").unwrap().1;
            browser.post_thrice(&site, &format!("deliveries/{test}/resend"), "").await;
            site.settle().await;
            browser.post_thrice(&site, "deliveries/resend", &format!("id={test}")).await;
            browser.post_thrice(&site, &format!("{webhook}/remove"), "").await;
            browser.post_thrice(&site, &format!("{webhook}/take-back"), "").await;
            site.settle().await;
        }
        for (action, count) in [
            ("endpoint.added", ROUNDS),
            ("calls.backfilled", ROUNDS),
            ("endpoint.tested", ROUNDS),
            ("secret.rotated", ROUNDS),
            ("endpoint.changed", 2 * ROUNDS),
            ("deliveries.recovered", ROUNDS),
            ("delivery.resent", ROUNDS),
            ("deliveries.resent", ROUNDS),
            ("endpoint.removed", ROUNDS),
            ("endpoint.restored", ROUNDS),
        ] {
            let trail = site.api("GET", &format!("/v1/audit?limit=200&action={action}"), &Value::Null).await;
            let by_portal = trail["entries"].as_array().unwrap().iter();
            let by_portal = by_portal.filter(|entry| entry["actor"]["kind"] == "portal").count();
            assert_eq!(by_portal, count, "{action} on {database:?}");
        }
        let endpoints = site.api("GET", "/v1/workspaces/acme/endpoints", &Value::Null).await;
        assert_eq!(endpoints["endpoints"].as_array().unwrap().len(), 1 + ROUNDS);
        // Each round sends the calls twice and a test event three times.
        let taken: u32 = receivers.events().values().map(|arrivals| arrivals.taken).sum();
        assert_eq!(usize::try_from(taken).unwrap(), CALLS + ROUNDS * (2 * CALLS + 3), "{database:?}");
        println!(
            "{database:?}: {ROUNDS} rounds of 11 forms, each sent three times, did what {ROUNDS} rounds of single ones do"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_link_that_two_processes_answer_at_once_starts_one_session() {
    for database in Database::all() {
        let site = Site::start(database).await;
        let browser = Browser::new();
        for round in 1..=10 {
            let pass = portal_pass(&site).await;
            let page = browser.page(site.second(), &format!("/console/enter?pass={pass}")).await;
            let once = page.split_once("name=\"once\" value=\"").unwrap().1.split('"').next().unwrap();
            let form = format!("pass={pass}&once={once}");
            let enter = |process| browser.send("POST", process, "/console/enter", &form);
            let (first, second) = tokio::join!(enter(site.first()), enter(site.second()));
            assert_eq!((first.status(), second.status()), (StatusCode::SEE_OTHER, StatusCode::SEE_OTHER));
            // Each process dates its cookie; the session is what stands before the date.
            let session = |answer| cookie_of(answer).unwrap().split('.').next().map(str::to_owned);
            assert_eq!(session(&first), session(&second));
            // The same link on another page, as of another person, opens nothing on either.
            for process in [site.first(), site.second()] {
                let other =
                    browser.send("POST", process, "/console/enter", &format!("pass={pass}&once=x")).await;
                assert_eq!((other.status(), cookie_of(&other)), (StatusCode::FORBIDDEN, None));
            }
            let trail = site.api("GET", "/v1/audit?limit=200&action=session.started", &Value::Null).await;
            assert_eq!(trail["entries"].as_array().unwrap().len(), round, "{database:?}");
        }
    }
}

/// The events of an open page.
struct Events(Incoming);

impl Events {
    async fn open(browser: &Browser, process: &str, path: &str) -> Self {
        let request = Request::builder()
            .uri(format!("{process}{path}"))
            .header("cookie", &browser.cookie)
            .header("accept", "text/event-stream")
            .body(Full::default())
            .unwrap();
        let answer = browser.client.request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        Self(answer.into_body())
    }

    /// Waits until an event is this one.
    async fn hear(&mut self, wanted: &str) {
        let heard = tokio::time::timeout(WAIT_LIMIT, async {
            loop {
                let frame = self.0.frame().await.expect("the stream goes on").unwrap();
                let data = frame.into_data().unwrap_or_default();
                if data.as_ref() == format!("data: {wanted}\n\n").as_bytes() {
                    return;
                }
            }
        });
        heard.await.unwrap_or_else(|_| panic!("no event says {wanted}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_one_process_hears_what_another_process_delivers() {
    for database in Database::all() {
        let (receivers, site) = (Receivers::start().await, Site::start(database).await);
        let id = Caller::new().add_endpoint(site.first(), "acme", &receivers.url("/hook")).await;
        site.accept("call-1").await;
        site.settle().await;
        let browser = Browser::sign_in(&site).await;
        for (number, path) in ["/deliveries", "", &format!("/webhooks/{id}")].into_iter().enumerate() {
            let path = format!("{PAGE}{path}");
            let mut events = Events::open(&browser, site.second(), &path).await;
            events.hear("same").await;
            let (name, began) = (format!("heard-{number}"), Instant::now());
            site.accept(&name).await;
            events.hear("changed").await;
            let took = began.elapsed();
            assert!(browser.page(site.second(), &path).await.contains(&name), "{path}");
            println!("{database:?}: {path} heard of a delivery after {:.1} s", took.as_secs_f64());
            site.settle().await;
        }
    }
}

/// Figures of an endpoint: pending and failed deliveries of calls, and attempts by hour and answering time.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    deliveries: BTreeMap<String, (i64, i64)>,
    /// Successes, failures and the last success, by endpoint, hour and answering time.
    attempts: BTreeMap<(String, i64, i64), (i64, i64, i64)>,
}

type CountRow = (String, i64, i64);
type HourRow = (String, i64, i64, i64, i64, i64);
type AttemptRow = (String, i64, i64, Option<i64>);

/// With the deliveries that are being sent, which are not kept.
const KEPT_COUNTS: &str = "SELECT endpoint_id, CAST(sum(pending) AS BIGINT), CAST(sum(failed) AS BIGINT) FROM \
     (SELECT endpoint_id, pending, failed FROM delivery_counts \
     UNION ALL SELECT endpoint_id, 1, 0 FROM deliveries WHERE state = 'sending' AND NOT test) AS counted GROUP BY endpoint_id";
const COUNTS: &str = "SELECT endpoint_id, CAST(sum(CASE WHEN state IN ('waiting', 'queued', 'sending') THEN 1 ELSE 0 END) AS BIGINT), \
     CAST(sum(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS BIGINT) FROM deliveries WHERE NOT test GROUP BY endpoint_id";
const KEPT_HOURS: &str = "SELECT endpoint_id, hour, below_ms, CAST(sum(succeeded) AS BIGINT), CAST(sum(failed) AS BIGINT), \
     max(last_success_at) FROM endpoint_hours GROUP BY endpoint_id, hour, below_ms";
const ATTEMPTS: &str = "SELECT d.endpoint_id, a.started_at, a.took_ms, a.status FROM attempts a JOIN deliveries d ON d.id = a.delivery_id";

/// The rows at one moment: kept counts, counted deliveries, kept hours, attempts.
type Rows = (Vec<CountRow>, Vec<CountRow>, Vec<HourRow>, Vec<AttemptRow>);

async fn rows(home: &Home) -> Rows {
    macro_rules! read {
        ($connection:expr, $begin:literal) => {{
            let mut connection = $connection;
            sqlx::query($begin).execute(&mut connection).await.unwrap();
            let rows = (
                sqlx::query_as(KEPT_COUNTS).fetch_all(&mut connection).await.unwrap(),
                sqlx::query_as(COUNTS).fetch_all(&mut connection).await.unwrap(),
                sqlx::query_as(KEPT_HOURS).fetch_all(&mut connection).await.unwrap(),
                sqlx::query_as(ATTEMPTS).fetch_all(&mut connection).await.unwrap(),
            );
            connection.close().await.unwrap();
            rows
        }};
    }
    if home.database.starts_with("sqlite:") {
        read!(SqliteConnection::connect(&home.database).await.unwrap(), "BEGIN")
    } else {
        read!(PgConnection::connect(&home.database).await.unwrap(), "BEGIN ISOLATION LEVEL REPEATABLE READ")
    }
}

/// The figures that are kept, and those that a count of the same moment finds.
async fn figures(home: &Home) -> [Figures; 2] {
    const HOUR: i64 = 3_600_000;
    let (kept_counts, counts, kept_hours, attempts) = rows(home).await;
    let by_endpoint = |rows: Vec<CountRow>| {
        let rows = rows.into_iter().filter(|(_, pending, failed)| (*pending, *failed) != (0, 0));
        rows.map(|(endpoint, pending, failed)| (endpoint, (pending, failed))).collect()
    };
    let by_hour = kept_hours.into_iter().map(|(endpoint, hour, below, succeeded, failed, last)| {
        ((endpoint, hour, below), (succeeded, failed, last))
    });
    let mut counted = Figures { deliveries: by_endpoint(counts), ..Figures::default() };
    for (endpoint, started_at, took, status) in attempts {
        let bounds = (0..9).map(|doubling| 25 << doubling);
        let below =
            status.map_or(0, |_| bounds.into_iter().find(|below| took < *below).unwrap_or(86_400_000));
        let entry = counted.attempts.entry((endpoint, started_at / HOUR, below)).or_default();
        match status {
            Some(200..=299) => *entry = (entry.0 + 1, entry.1, entry.2.max(started_at + took)),
            _ => entry.1 += 1,
        }
    }
    [Figures { deliveries: by_endpoint(kept_counts), attempts: by_hour.collect() }, counted]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kept_figures_equal_a_count_of_the_rows_at_every_moment() {
    const CALLS: usize = 60;
    const LATE: usize = 20;
    for database in Database::all() {
        let (receivers, site) = (Receivers::start().await, Site::start(database).await);
        let caller = Caller::new();
        caller.add_endpoint(site.first(), "acme", &receivers.url("/willing")).await;
        // Nothing listens there: no attempt has an answer.
        let down = caller.add_endpoint(site.first(), "acme", "http://127.0.0.1:9/").await;
        let gone = caller.add_endpoint(site.first(), "acme", &receivers.url("/gone")).await;
        let events = async {
            for number in 0..CALLS {
                let process = if number % 2 == 0 { site.first() } else { site.second() };
                let call = call("acme", &format!("call-{number}"));
                caller.ask("POST", &format!("{process}/v1/calls"), &call).await;
            }
            site.settle().await;
            // What failed is sent again while more comes in, and an endpoint is removed with what waits for it.
            let browser = Browser::sign_in(&site).await;
            browser.post_thrice(&site, "recover", &format!("within=24h&which=failed&webhook={down}")).await;
            browser.post_thrice(&site, &format!("webhooks/{down}/test"), "").await;
            browser.post_thrice(&site, &format!("webhooks/{gone}/pause"), "").await;
            for number in 0..LATE {
                site.accept(&format!("late-{number}")).await;
            }
            browser.post_thrice(&site, &format!("webhooks/{gone}/remove"), "").await;
            browser.post_thrice(&site, &format!("webhooks/{gone}/take-back"), "").await;
            let endpoint = format!("/v1/workspaces/acme/endpoints/{gone}");
            site.api("PATCH", &endpoint, &json!({"state": "active"})).await;
            site.settle().await;
            let page = browser.page(site.second(), &format!("{PAGE}/webhooks/{down}")).await;
            assert!(page.contains(&format!("Send the {} that failed", CALLS + LATE)), "{page}");
            site.api("DELETE", &endpoint, &Value::Null).await;
        };
        tokio::pin!(events);
        let mut looks = 0;
        loop {
            tokio::select! {
                () = &mut events => break,
                () = tokio::time::sleep(Duration::from_millis(150)) => looks += 1,
            }
            let [kept, counted] = figures(&site.home).await;
            assert_eq!(kept, counted, "{database:?}, look {looks}");
        }
        // The attempts of an erased call stay in the figures of their hour.
        let [before, counted] = figures(&site.home).await;
        assert_eq!(before, counted);
        for number in 0..10 {
            let path = format!("/v1/workspaces/acme/calls/call-{number}");
            site.api("DELETE", &path, &Value::Null).await;
        }
        let [after, counted] = figures(&site.home).await;
        assert_eq!(after.deliveries, counted.deliveries);
        assert_eq!(after.deliveries[&down].1, before.deliveries[&down].1 - 10);
        assert_eq!(after.attempts, before.attempts);
        let attempts: i64 = before.attempts.values().map(|(succeeded, failed, _)| succeeded + failed).sum();
        println!(
            "{database:?}: the figures of {attempts} attempts equalled a count of the rows in {looks} looks"
        );
        site.api("DELETE", "/v1/workspaces/acme", &Value::Null).await;
        assert_eq!(figures(&site.home).await, [Figures::default(), Figures::default()]);
    }
}
