//! The fast path: it answers plain requests byte for byte as hyper does, and leaves nothing behind that disturbs
//! others.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use memchr::memmem;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use webhook_assets::AssetRef;
use webhook_assets::clock::{Moment, UnixSeconds};
use webhook_assets::server::{
    self, Drain, FastPath, Handler, HeadLimits, PlainRequest, ResponseWriter, Server,
};

use crate::support::ready_handler::fast_handler;
use crate::support::waiting::WAIT_LIMIT;
use crate::support::{ABSENT, Answer, CALL, NOW, Plan, Site, noise, transcript};

/// A transcript that is short enough to be kept in memory.
const SHORT: uuid::Uuid = uuid::uuid!("00000000-0000-4000-8000-000000000001");

/// A folder with a recording of more than two batches, a transcript, and a short one, all old enough to be cached.
fn files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["recordings", "transcripts"] {
        fs::create_dir(folder.path().join(kind)).unwrap();
    }
    let write =
        |asset: AssetRef, bytes: &[u8]| fs::write(folder.path().join(asset.object_path()), bytes).unwrap();
    write(AssetRef::recording(CALL), &noise(5_000_001));
    write(AssetRef::transcript(CALL), &transcript());
    write(AssetRef::transcript(SHORT), b"{\"schema\":\"call-transcript/1\"}\n");
    // The cache does not keep a short file that changed a moment ago.
    std::thread::sleep(Duration::from_secs(3));
    folder
}

/// Two sites on the same files, with the fast path and without.
struct Both {
    fast: Site,
    hyper: Site,
    folder: TempDir,
}

impl Both {
    async fn start() -> Self {
        let folder = files();
        let fast = Plan::on_files(folder.path()).start().await;
        let plan = Plan { through_hyper: true, ..Plan::on_files(folder.path()) };
        Self { fast, hyper: plan.start().await, folder }
    }

    fn links(&self) -> Vec<String> {
        let good = |asset| self.fast.link(asset);
        let recording = good(AssetRef::recording(CALL));
        let expired = self.fast.link_made_at(AssetRef::recording(CALL), UnixSeconds(NOW.0 - 90_000));
        let (path, query) = recording.split_once('?').unwrap();
        vec![
            recording.clone(),
            good(AssetRef::transcript(CALL)),
            good(AssetRef::transcript(SHORT)),
            format!("{}&format=vtt", good(AssetRef::transcript(CALL))),
            format!("{}&format=pdf", good(AssetRef::transcript(CALL))),
            good(AssetRef::recording(ABSENT)),
            expired,
            recording.replace("sig=", "sig=0"),
            recording.replace("&sig=", "&amp;sig="),
            recording.replace("recording", "transcript"),
            format!("{recording}&sig=0"),
            format!("{path}?utm_source=a&{query}&utm_medium=%20"),
            path.to_owned(),
            format!("{path}?"),
            format!("{path}/?{query}"),
            format!("/{recording}"),
            recording.trim_start_matches("/api").to_owned(),
            "/".to_owned(),
            "/healthz".to_owned(),
            recording.replace("550e8400", "550E8400"),
            recording.replace("550e8400-", "%35%35"),
        ]
    }
}

/// Fields that change what is answered, and fields that must not.
const FIELDS: [&str; 28] = [
    "",
    "User-Agent: n8n\r\nAccept: text/html,*/*;q=0.8\r\nCookie: a=b\r\n",
    "Range: bytes=0-0\r\n",
    "Range: bytes=0-\r\n",
    "Range: bytes=100-1099\r\n",
    "rAnGe: BYTES=1000000-3999999\r\n",
    "Range: bytes=-7\r\n",
    "Range: bytes=9999999-\r\n",
    "Range: bytes=5-4\r\n",
    "Range: lines=1-2\r\n",
    "Range: bytes=\r\n",
    "Range: bytes=0-1,5-6\r\n",
    "Range: bytes=0-1\r\nRange: bytes=5-6\r\n",
    "Range: bytes=\u{e9}\r\n",
    "Range: bytes=0-9\r\nIf-Range: \"other\"\r\n",
    "If-None-Match: *\r\n",
    "If-Match: \"other\"\r\n",
    "If-Modified-Since: Sat, 01 Jan 2050 00:00:00 GMT\r\n",
    "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\n",
    "Accept-Encoding: gzip, br\r\n",
    "Accept-Encoding: identity;q=1, *;q=0\r\n",
    "Origin: https://app.example.com\r\n",
    "Origin: https://app.example.com\r\nAccess-Control-Request-Method: GET\r\n",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    "X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Expect: 100-continue\r\n",
];

/// Sends bytes, shuts the writing side down, and reads to the end. Drops what differs from run to run.
async fn exchange(site: &Site, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut from, mut to) = stream.split();
    let mut bytes = Vec::new();
    let ask = async {
        for piece in pieces {
            to.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        to.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(ask, from.read_to_end(&mut bytes));
    read.unwrap();
    mask(&mut bytes, b"\r\ndate: ", "Fri, 27 Nov 2026 00:00:00 GMT".len());
    for boundary in mask(&mut bytes, b"; boundary=", 32) {
        mask(&mut bytes, &boundary, 0);
    }
    bytes
}

/// Overwrites `length` bytes behind each place where `mark` stands, and the mark itself if `length` is 0. Returns the
/// old bytes.
fn mask(bytes: &mut [u8], mark: &[u8], length: usize) -> Vec<Vec<u8>> {
    let places: Vec<usize> = memmem::find_iter(bytes, mark).collect();
    let mask_one = |at: usize| {
        let range = if length == 0 { at..at + mark.len() } else { at + mark.len()..at + mark.len() + length };
        let was = bytes[range.clone()].to_vec();
        bytes[range].fill(b'*');
        was
    };
    places.into_iter().map(mask_one).collect()
}

/// A readable form: whole heads, shortened bodies.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1_500)]).into_owned()
}

#[tokio::test]
async fn every_request_gets_byte_for_byte_the_answer_of_hyper() {
    let both = Both::start().await;
    let mut compared = 0;
    for link in both.links() {
        for fields in FIELDS {
            for (method, closing) in [("GET", ""), ("HEAD", ""), ("GET", "Connection: close\r\n")] {
                let request = format!("{method} {link} HTTP/1.1\r\nHost: localhost\r\n{fields}{closing}\r\n");
                let ours = exchange(&both.fast, &[request.as_bytes()]).await;
                let theirs = exchange(&both.hyper, &[request.as_bytes()]).await;
                assert!(ours == theirs, "{request}\n{}\n{}", shown(&ours), shown(&theirs));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 21 * 28 * 3);
}

#[tokio::test]
async fn requests_of_all_kinds_on_one_connection_are_answered_in_their_order() {
    let both = Both::start().await;
    let (links, mut dice) = (both.links(), 1_u64);
    let mut throw = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % sides
    };
    for _ in 0..20 {
        // Mostly plain ones at first: a connection that left the fast path does not come back.
        let requests: Vec<String> = (0..40)
            .map(|at| {
                let link = &links[if at < 30 { throw(3) } else { throw(links.len()) }];
                let fields = FIELDS[if at < 30 { throw(7) } else { throw(24) }];
                let method = ["GET", "GET", "HEAD"][throw(3)];
                format!("{method} {link} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
            })
            .collect();
        let bytes = requests.concat();
        let whole = exchange(&both.fast, &[bytes.as_bytes()]).await;
        let in_pieces: Vec<&[u8]> = bytes.as_bytes().chunks(1 + throw(3_000)).collect();
        assert!(
            exchange(&both.fast, &in_pieces).await == whole,
            "the answers depend on how the requests are cut"
        );
        assert!(exchange(&both.hyper, &[bytes.as_bytes()]).await == whole, "not as hyper answers");
    }
}

#[tokio::test]
async fn the_fast_path_answers_a_plain_request_and_no_other() {
    let both = Both::start().await;
    let gateway = Plan::on_files(both.folder.path()).gateway_alone();
    let client = server::Client::from(both.fast.address);
    let limits = HeadLimits { target: 8_192, fields: 32_768 };
    let kind = |method: &str, link: &str, fields: &str| {
        let request = format!("{method} {link} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let answer = |request: &PlainRequest<'_>| {
            let mut head = Vec::new();
            let answer = gateway.try_answer(request, &client, Moment::now(), ResponseWriter::new(&mut head));
            Some(format!("{answer:?}"))
        };
        PlainRequest::read(request.as_bytes(), limits, answer)
            .map_or("not plain".to_owned(), |(kind, _)| kind)
    };
    let (short, recording) = (both.fast.link(AssetRef::transcript(SHORT)), both.fast.recording());
    let (bad, absent) = (recording.replace("sig=", "sig=0"), both.fast.link(AssetRef::recording(ABSENT)));
    let traced = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    for (method, link, fields, expected) in [
        ("GET", &short, "", "Answered"),
        ("GET", &short, "Range: bytes=1-2\r\nUser-Agent: a\r\n", "Answered"),
        ("GET", &short, "If-None-Match: *\r\n", "Answered"),
        ("HEAD", &short, "", "Answered"),
        ("GET", &bad, "Accept-Encoding: gzip\r\n", "Answered"),
        ("GET", &"/".to_owned(), "", "Answered"),
        // This connection cannot send files as they are.
        ("GET", &recording, "", "Awaited"),
        ("GET", &short, "Accept-Encoding: gzip\r\n", "Awaited"),
        ("GET", &absent, "", "Awaited"),
        ("GET", &absent, traced, "Declined"),
        ("HEAD", &absent, "", "Declined"),
        ("POST", &short, "", "not plain"),
    ] {
        assert_eq!(kind(method, link, fields), expected, "{method} {link} {fields}");
    }
}

#[tokio::test]
async fn the_next_request_of_a_connection_sees_a_deleted_or_replaced_file() {
    let both = Both::start().await;
    let link = both.fast.link(AssetRef::transcript(SHORT));
    let path = both.folder.path().join(AssetRef::transcript(SHORT).object_path());
    let mut stream = TcpStream::connect(both.fast.address).await.unwrap();
    let mut ask = async || {
        let request = format!("GET {link} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 16 * 1024];
        let count = stream.read(&mut bytes).await.unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    for _ in 0..3 {
        assert!(ask().await.ends_with("{\"schema\":\"call-transcript/1\"}\n"));
    }
    fs::write(both.folder.path().join("other"), "{}\n").unwrap();
    fs::rename(both.folder.path().join("other"), &path).unwrap();
    let answer = ask().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{}\n"), "{answer}");
    fs::remove_file(&path).unwrap();
    assert!(ask().await.starts_with("HTTP/1.1 404 "));
}

/// Requests `link` on a kept connection and reads the whole answer: its status and its body.
async fn ask(stream: &mut TcpStream, link: &str) -> (u16, Vec<u8>) {
    let request = format!("GET {link} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = memmem::find(&bytes, b"\r\n\r\n") {
            let (answer, _) = Answer::parse(&bytes[..end + 4], true);
            let length: usize = answer.must("content-length").parse().unwrap();
            if bytes.len() == end + 4 + length {
                return (answer.status, bytes.split_off(end + 4));
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the connection has ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_a_batch_gets_a_file_deleted_before_it_was_sent() {
    let both = Both::start().await;
    let others: Vec<_> = (0..200)
        .map(|_| {
            let (address, link) = (both.fast.address, both.fast.link(AssetRef::transcript(SHORT)));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for _ in 0..100 {
                    let (status, body) = ask(&mut stream, &link).await;
                    assert_eq!((status, &*body), (200, &b"{\"schema\":\"call-transcript/1\"}\n"[..]));
                }
            })
        })
        .collect();
    // Short enough for its connection to stay idle.
    let asset = AssetRef::transcript(CALL);
    let (path, moved) = (both.folder.path().join(asset.object_path()), both.folder.path().join("moved"));
    let link = both.fast.link(asset);
    let mut stream = TcpStream::connect(both.fast.address).await.unwrap();
    let mut rounds = 0;
    while rounds < 20 || others.iter().any(|other| !other.is_finished()) {
        // The gateway has opened and checked it, and believes for a moment that it is still there.
        for _ in 0..3 {
            assert_eq!(ask(&mut stream, &link).await.0, 200);
        }
        fs::rename(&path, &moved).unwrap();
        assert_eq!(ask(&mut stream, &link).await.0, 404, "in round {rounds}");
        fs::rename(&moved, &path).unwrap();
        rounds += 1;
    }
    for other in others {
        other.await.unwrap();
    }
}

#[tokio::test]
async fn the_fast_path_refuses_requests_beyond_the_limit_too() {
    let folder = files();
    let mut plan = Plan::on_files(folder.path());
    plan.gateway.requests_in_flight = 1;
    let site = plan.start().await;
    let (recording, short) = (site.recording(), site.link(AssetRef::transcript(SHORT)));
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    assert_eq!(ask(&mut stream, &short).await.0, 200, "it is in memory");
    let mut slow = site.client().ask_slowly(&recording).await;
    slow.read_u8().await.unwrap();
    for link in [&short, &recording] {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        assert_eq!(ask(&mut stream, link).await.0, 503);
    }
    drop(slow);
}

/// Answers every request but one with its target, and panics on that.
fn panics_on_one<'w>(
    request: &PlainRequest<'_>,
    mut writer: ResponseWriter<'w>,
) -> FastPath<'w, Full<Bytes>> {
    assert_ne!(request.target, "/stumble", "as the test wants it");
    if request.target == "/more" {
        // The flood always has more to send, and reads all answers.
        std::thread::sleep(Duration::from_micros(20));
    }
    let length = request.target.len();
    writer.text().extend_from_slice(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n").as_bytes());
    FastPath::Answered(writer, Full::from(request.target.to_owned()))
}

#[tokio::test]
async fn a_request_that_panics_the_handler_ends_only_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Plan::on_files(std::path::Path::new("/")).server;
    tokio::spawn(Server::new(config, fast_handler(panics_on_one), Drain::new()).serve(listener));
    let mut other = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut other, "/before").await, (200, b"/before".to_vec()));
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut stream, "/well").await.0, 200);
        stream.write_all(b"GET /stumble HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(stream.read(&mut [0; 100]).await.unwrap(), 0);
    }
    assert_eq!(ask(&mut other, "/after").await, (200, b"/after".to_vec()));
}

#[tokio::test]
async fn a_file_sent_in_one_call_with_its_head_is_the_whole_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Plan::on_files(std::path::Path::new("/")).server;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "one alone").unwrap();
    let file = Arc::new(fs::File::open(folder.path().join("file")).unwrap());
    let sends = fast_handler(move |_, mut writer| {
        writer.text().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n");
        let sent = writer.send_file(&file, 0..9).unwrap();
        assert_eq!(sent.of_file(), 9);
        FastPath::Sent(sent, Full::default())
    });
    tokio::spawn(Server::new(config, sends, Drain::new()).serve(listener));
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&mut stream, "/").await, (200, b"one alone".to_vec()));
    }
}

#[tokio::test]
async fn a_client_that_shuts_down_writing_gets_all_its_answers() {
    let both = Both::start().await;
    let link = both.fast.link(AssetRef::transcript(SHORT));
    let request = format!("GET {link} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Pipelined requests, more than the server receives at once; then the client shuts its writing side down.
    for count in [1, 2, 30, 300] {
        let mut stream = TcpStream::connect(both.fast.address).await.unwrap();
        assert_eq!(ask(&mut stream, &link).await.0, 200, "the connection is idle now");
        stream.write_all(request.repeat(count).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(memmem::find_iter(&bytes, b"HTTP/1.1 200 OK\r\n").count(), count);
    }
}

#[test]
fn a_client_that_asks_without_end_delays_no_other_client() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Plan::on_files(std::path::Path::new("/")).server;
    let drain = Drain::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // One thread for all connections.
    let one = std::num::NonZeroUsize::MIN;
    let serving = Server::new(config, fast_handler(panics_on_one), drain.clone())
        .serve_on_threads(&listener, one)
        .unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            // With the time stamps, packets hold 1,024 bytes.
            socket.set_tcp_mss(1_024 + 12).unwrap();
            socket.connect(&address.into()).unwrap();
            let stream = std::net::TcpStream::from(socket);
            let (mut answers, mut stream, ends) = (stream.try_clone().unwrap(), stream, Arc::clone(&ends));
            let total = Arc::new(AtomicUsize::new(0));
            let its = Arc::clone(&total);
            let reading = std::thread::spawn(move || {
                let mut some = vec![0; 1 << 20];
                while let Ok(count @ 1..) = answers.read(&mut some) {
                    its.fetch_add(count, Ordering::Relaxed);
                }
            });
            let writing = std::thread::spawn(move || {
                // As long as a part of a packet and of one receive buffer, so that none is ever cut.
                let request = format!("{:x<60}\r\n\r\n", "GET /more HTTP/1.1\r\nHost: localhost\r\nA: ");
                let many = request.repeat(10_000);
                while !ends.load(Ordering::Relaxed) && stream.write_all(many.as_bytes()).is_ok() {}
            });
            (total, reading, writing)
        })
        .collect();
    // However long that takes on a busy machine.
    let is_flood = |total: &AtomicUsize| total.load(Ordering::Relaxed) > 100_000;
    let patience = Instant::now() + WAIT_LIMIT;
    while !floods.iter().all(|(total, ..)| is_flood(total)) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    let others = runtime.block_on(async {
        let asked = async {
            for _ in 0..5 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                assert_eq!(ask(&mut stream, "/other").await, (200, b"/other".to_vec()));
            }
        };
        let others = tokio::time::timeout(WAIT_LIMIT, asked).await;
        (others, drain.finish(WAIT_LIMIT).await)
    });
    ends.store(true, Ordering::Relaxed);
    assert_eq!(others, (Ok(()), 0), "others were answered, and no connection remained when draining ended");
    drop(serving);
    for (total, reading, writing) in floods {
        writing.join().unwrap();
        reading.join().unwrap();
        assert!(is_flood(&total), "it did not ask that much");
    }
}
