//! A program that is frozen (SIGSTOP) for longer than its deadlines and thawed: time in which it could not run counts
//! against no client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use webhook_assets::AssetRef;
use webhook_assets::webhook::CompletedCall;

use super::access_log::metric;
use super::{Home, Ran, Server, WAIT_LIMIT, eventually, get, target_of};
use crate::support::bucket::{Act, Bucket};
use crate::support::client::request_head;
use crate::support::http2::{Http2, read};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::{Answer, CALL, noise, recording};

/// The deadlines, which no client exceeds on a busy machine, and how long the program is frozen.
const DEADLINE: Duration = Duration::from_secs(3);
const FREEZE: Duration = Duration::from_millis(4_500);

/// Larger than what the kernel holds between server and client.
const SIZE: usize = 32 << 20;

/// Every deadline is short.
fn with_short_deadlines(home: &Home) -> Command {
    let mut command = home.program(&["serve"]);
    for name in ["SERVER_STALL_TIMEOUT", "SERVER_HEADER_TIMEOUT", "SERVER_IDLE_TIMEOUT"] {
        command.env(format!("WEBHOOK_ASSETS_{name}"), format!("{}s", DEADLINE.as_secs()));
    }
    for name in ["STORE_FIRST_BYTE_TIMEOUT", "STORE_STALL_TIMEOUT", "WEBHOOKS_ATTEMPT_TIMEOUT"] {
        command.env(format!("WEBHOOK_ASSETS_{name}"), format!("{}s", DEADLINE.as_secs()));
    }
    command
}

fn large_recording(home: &Home) -> Vec<u8> {
    let path = home.path(&format!("store/{}", AssetRef::recording(CALL).object_path()));
    let bytes = noise(SIZE);
    std::fs::write(path, &bytes).unwrap();
    bytes
}

impl Server {
    /// Freezes the program once what has begun waits; `meanwhile` runs while it is frozen.
    fn freeze<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        std::thread::sleep(Duration::from_millis(300));
        self.signal("STOP");
        let began = Instant::now();
        let done = meanwhile();
        std::thread::sleep(FREEZE.saturating_sub(began.elapsed()));
        self.signal("CONT");
        done
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.gateway).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream
}

/// Requests the recording and reads its beginning; then the server waits for the client.
fn begin(server: &Server, link: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = connect(server);
    stream.write_all(request_head("GET", target_of(link), &[], b"").as_bytes()).unwrap();
    let mut start = vec![0; 4_096];
    stream.read_exact(&mut start).unwrap();
    (stream, start)
}

fn rest_of((mut stream, mut bytes): (TcpStream, Vec<u8>)) -> Answer {
    stream.read_to_end(&mut bytes).expect("the download goes on");
    Answer::parse(&bytes, false).0
}

#[test]
fn downloads_of_files_go_on() {
    let home = Home::ready();
    let bytes = large_recording(&home);
    let server = Server::start(with_short_deadlines(&home));
    let link = home.link();
    let downloads: Vec<_> = (0..4).map(|_| begin(&server, &link)).collect();
    // The clients read everything that was sent; the frozen server sends no more.
    let taking: Vec<_> = server
        .freeze(|| downloads.into_iter().map(|download| std::thread::spawn(|| rest_of(download))).collect());
    for download in taking {
        assert!(download.join().unwrap().body == bytes);
    }
    server.logs("the process was frozen");
    assert_eq!(
        metric(server.admin, "webhook_assets_bodies_total{asset=\"recording\",ending=\"complete\"}"),
        4.0
    );
}

#[test]
fn downloads_from_a_bucket_go_on_and_requests_to_it_do_not_time_out() {
    let (home, runtime) = (Home::ready(), Runtime::new().unwrap());
    let bytes = noise(SIZE);
    let bucket = runtime.block_on(Bucket::holding(bytes.clone()));
    let mut command = with_short_deadlines(&home);
    command.envs([
        ("WEBHOOK_ASSETS_STORE", "s3://bucket"),
        ("AWS_ENDPOINT_URL", &format!("http://{}", bucket.address)),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "made-up"),
        ("AWS_SECRET_ACCESS_KEY", "made-up"),
        ("AWS_REGION", "eu-central-1"),
        ("WEBHOOK_ASSETS_STORE_READ_AHEAD", "1"),
    ]);
    let server = Server::start(command);
    let link = home.link();
    let under_way = begin(&server, &link);
    bucket.play(&[Act::Late(Duration::from_millis(700))], Act::Serve);
    let mut asking = connect(&server);
    asking.write_all(request_head("GET", target_of(&link), &[], b"").as_bytes()).unwrap();
    eventually(
        || (bucket.requests.load(std::sync::atomic::Ordering::SeqCst) >= 2).then_some(()),
        || "the store is not asked".to_owned(),
    );
    let taking = server.freeze(|| std::thread::spawn(|| rest_of(under_way)));
    assert!(rest_of((asking, Vec::new())).body == bytes);
    assert!(taking.join().unwrap().body == bytes);
    assert_eq!(metric(server.admin, "webhook_assets_store_resumed_total"), 0.0);
}

#[test]
fn streams_of_http_2_go_on() {
    let (home, runtime) = (Home::ready(), Runtime::new().unwrap());
    let bytes = large_recording(&home);
    let server = Server::start(with_short_deadlines(&home));
    let link = target_of(&home.link()).to_owned();
    let (body, connection) = runtime.block_on(async {
        let mut connection = Http2::roomy(server.gateway).await;
        let answer = connection.get(&link, &[]).await;
        (answer.into_body(), connection)
    });
    let taking = server.freeze(|| runtime.spawn(read(body)));
    let (got, reset) = runtime.block_on(taking).unwrap();
    assert!(got == bytes, "{} bytes, {reset:?}", got.len());
    drop(connection);
}

#[test]
fn requests_that_come_while_it_is_frozen_are_answered() {
    let home = Home::ready();
    let server = Server::start(with_short_deadlines(&home));
    let link = home.link();
    let whole = request_head("GET", target_of(&link), &[], b"");
    let (begun, end) = whole.split_at(whole.len() - 10);
    let asked = || {
        let began = Instant::now();
        // One that has sent nothing yet, one that has sent half a request, one that has been answered before.
        let mut kept = connect(&server);
        kept.write_all(whole.replace("Connection: close\r\n", "").as_bytes()).unwrap();
        let mut answer = vec![0; 1_024];
        kept.read_exact(&mut answer).unwrap();
        while !answer.ends_with(&recording()[300_000 - 64..]) {
            let mut more = [0; 4_096];
            let count = kept.read(&mut more).unwrap();
            answer.extend_from_slice(&more[..count]);
        }
        let (silent, mut speaking) = (connect(&server), connect(&server));
        speaking.write_all(begun.as_bytes()).unwrap();
        server.freeze(|| {
            // A machine that is so busy that a deadline came before the freeze tries again.
            let in_time = began.elapsed() < DEADLINE / 2;
            in_time.then(|| {
                [(silent, whole.as_str()), (speaking, end), (kept, whole.as_str())].map(
                    |(mut stream, words)| {
                        stream.write_all(words.as_bytes()).unwrap();
                        stream
                    },
                )
            })
        })
    };
    for stream in eventually(asked, || "it is never frozen in time".to_owned()) {
        assert_eq!(rest_of((stream, Vec::new())).body, recording());
    }
}

#[test]
fn a_client_that_reads_nothing_is_disconnected_all_the_same() {
    let home = Home::ready();
    large_recording(&home);
    let server = Server::start(with_short_deadlines(&home));
    let (stream, _) = begin(&server, &home.link());
    server.freeze(|| ());
    let cut = || metric(server.admin, "webhook_assets_connections_cut_total{reason=\"stalled\"}") == 1.0;
    eventually(|| cut().then_some(()), || "it is waited for without end".to_owned());
    drop(stream);
}

#[test]
fn an_attempt_in_progress_counts_and_is_made_once() {
    let (home, runtime) = (Home::ready(), Runtime::new().unwrap());
    let receiver = runtime.block_on(Receiver::start(|_, _| Reaction::Late(Duration::from_millis(700))));
    let add = ["webhooks", "add", "--workspace", "acme", &receiver.url("/hook")];
    Ran::of(home.program(&add).envs(home.sending())).succeeded();
    let mut command = with_short_deadlines(&home);
    command.envs(home.sending());
    let server = Server::start(command);
    let mut call = serde_json::to_value(CompletedCall::sample()).unwrap();
    (call["workspace"], call["call_id"]) = ("acme".into(), "call-1".into());
    (call["recording"], call["transcript"]) = (CALL.to_string().into(), CALL.to_string().into());
    let body = call.to_string();
    let mut stream = TcpStream::connect(server.admin).unwrap();
    let json = [("Content-Type", "application/json")];
    stream.write_all((request_head("POST", "/v1/calls", &json, body.as_bytes()) + &body).as_bytes()).unwrap();
    runtime.block_on(receiver.wait_for(1));
    server.freeze(|| ());
    let page = || String::from_utf8(get(server.admin, "/metrics").body).unwrap();
    let delivered = "webhook_assets_webhook_deliveries_total{result=\"delivered\"} 1";
    eventually(|| page().contains(delivered).then_some(()), page);
    assert_eq!(receiver.received().len(), 1, "once");
    assert!(
        page().contains("webhook_assets_webhook_attempts_total{code=\"delivered_slowly\"} 1"),
        "{}",
        page()
    );
}

#[test]
fn downloads_in_flight_at_the_stop_get_their_time() {
    let home = Home::ready();
    let bytes = large_recording(&home);
    let mut command = with_short_deadlines(&home);
    command.env("WEBHOOK_ASSETS_SERVER_DRAIN_TIMEOUT", "4s");
    let mut server = Server::start(command);
    let download = begin(&server, &home.link());
    server.signal("TERM");
    server.logs("stopping");
    let taking = server.freeze(|| std::thread::spawn(|| rest_of(download)));
    assert!(taking.join().unwrap().body == bytes);
    assert_eq!(server.ended().code(), Some(0));
    server.logs("every download in flight was completed");
}
