//! What downloads in flight cost while their clients stall, and what is left of it afterwards.
//!
//! `cargo bench --bench stalled_downloads` starts the real program on a folder of its own. First it compares files of
//! different sizes; then it opens as many connections as the limit on open files allows (10,000, or their number behind
//! `--`), each of which asks for a recording of 5 MB and reads nothing more, and prints the program's memory, how fast
//! new requests are answered meanwhile, and what has been given back once the stalled were left.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that meets the unexpected stops")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

const CALL: &str = "550e8400-e29b-41d4-a716-446655440000";
const PROGRAM: &str = env!("CARGO_BIN_EXE_webhook-assets");
const MEBIBYTE: u64 = 1 << 20;
const RECORDING: u64 = 5_000_000;

/// The connections of each size, and of all when there are enough descriptors.
const FEW: usize = 500;
const MANY: usize = 10_000;

/// For how long the stalled are kept in the large run: long enough to open them all and to ask between.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

fn main() {
    // `cargo test --benches` runs benchmarks too, with this argument; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let asked = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    println!("{FEW} stalled downloads; resident memory of the process (VmRSS)");
    println!("{:>12} {:>12} {:>12} {:>16}", "file", "before", "stalled", "per download");
    for size in [MEBIBYTE, 5 * MEBIBYTE, 50 * MEBIBYTE, 500 * MEBIBYTE] {
        compare(size);
    }
    // The program has two descriptors for each: connection and file.
    let most = usize::try_from(descriptors().saturating_sub(300) / 2).unwrap();
    measure(asked.unwrap_or(MANY).min(most));
}

/// The limit on open files, raised as far as possible. The program raises its own.
fn descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

fn compare(size: u64) {
    let server = Server::start(size, FEW);
    let target = server.link();
    let before = server.warmed(&target);
    let stalled: Vec<TcpStream> = (0..FEW).map(|at| server.stall(&target, at)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let after = server.resident();
    let each = after.saturating_sub(before) / FEW as u64;
    println!(
        "{:>8} MiB {:>8} KiB {:>8} KiB {:>12.1} KiB",
        size / MEBIBYTE,
        before / 1024,
        after / 1024,
        each as f64 / 1024.0
    );
    drop(stalled);
}

fn measure(count: usize) {
    let server = Server::start(RECORDING, count);
    let target = server.link();
    let before = (server.warmed(&target), server.descriptors());
    println!("\n{count} stalled downloads of a recording of 5 MB");
    println!("before:  {} KiB resident, {} descriptors", before.0 / 1024, before.1);
    let alone = server.latencies(&target);
    println!("a new request (whole recording's first 1,000 bytes, on a connection of its own): {alone}");
    let began = Instant::now();
    let stalled: Vec<TcpStream> = (0..count).map(|at| server.stall(&target, at)).collect();
    println!("opened:  in {:.1} s", began.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(2));
    let during = (server.resident(), server.descriptors());
    let each = during.0.saturating_sub(before.0) as f64 / count as f64 / 1024.0;
    println!("stalled: {} KiB resident, {} descriptors; {each:.1} KiB each", during.0 / 1024, during.1);
    println!("a new request meanwhile: {}", server.latencies(&target));
    while server.descriptors() > before.1 + 10 {
        assert!(began.elapsed() < 5 * STALL_TIMEOUT, "the stalled are not left");
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("left:    the last one {:.0} s after the first was opened", began.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(2));
    println!("after:   {} KiB resident, {} descriptors", server.resident() / 1024, server.descriptors());
    drop(stalled);
}

struct Server {
    process: Child,
    address: SocketAddr,
    keys: String,
    _folders: [tempfile::TempDir; 2],
}

impl Server {
    fn start(size: u64, connections: usize) -> Self {
        let store = tempfile::tempdir().unwrap();
        let recordings = store.path().join("recordings");
        std::fs::create_dir(&recordings).unwrap();
        // A sparse file: its length is what counts here.
        std::fs::File::create(recordings.join(format!("{CALL}.mp3"))).unwrap().set_len(size).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.json").display().to_string();
        let made = Command::new(PROGRAM).args(["keys", "new", "--keys", &keys]).output().unwrap();
        assert!(made.status.success());
        let room = (connections + 100).to_string();
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--only", "gateway"])
            .env("WEBHOOK_ASSETS_LISTEN", "127.0.0.1:0")
            .env("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0")
            .env("WEBHOOK_ASSETS_PUBLIC_URL", "http://localhost")
            .env("WEBHOOK_ASSETS_STORE", format!("file://{}", store.path().display()))
            .env("WEBHOOK_ASSETS_KEYS", &keys)
            .env("WEBHOOK_ASSETS_LOG_LEVEL", "error")
            .env("WEBHOOK_ASSETS_SERVER_CONNECTIONS", &room)
            .env("WEBHOOK_ASSETS_SERVER_CONNECTIONS_PER_ADDRESS", &room)
            .env("WEBHOOK_ASSETS_GATEWAY_REQUESTS_IN_FLIGHT", &room)
            .env("WEBHOOK_ASSETS_SERVER_STALL_TIMEOUT", format!("{}s", STALL_TIMEOUT.as_secs()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().parse().unwrap();
        Self { process, address, keys, _folders: [store, folder] }
    }

    /// Path and query of a link.
    fn link(&self) -> String {
        let mint = ["mint", "recording", CALL, "--public-url", "http://localhost", "--keys", &self.keys];
        let output = Command::new(PROGRAM).args(mint).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().strip_prefix("http://localhost").unwrap().to_owned()
    }

    /// The first downloads warm allocator and thread pool. Returns what is resident after them.
    fn warmed(&self, target: &str) -> u64 {
        drop((0..50).map(|at| self.stall(target, at)).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(500));
        self.resident()
    }

    /// A connection that has read the first bytes of its answer and reads no more. Each thousand comes from an address of
    /// its own, so that ports do not run out.
    fn stall(&self, target: &str, at: usize) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // What the client's kernel takes is not what is measured.
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(at / 1_000).unwrap());
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        stream
    }

    /// How long requests take, each on a connection of its own, one after the other.
    fn latencies(&self, target: &str) -> String {
        let mut took: Vec<Duration> = (0..1_000)
            .map(|_| {
                let began = Instant::now();
                let mut stream = TcpStream::connect(self.address).unwrap();
                let fields = "Host: localhost\r\nRange: bytes=0-999\r\nConnection: close";
                write!(stream, "GET {target} HTTP/1.1\r\n{fields}\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                assert!(answer.starts_with(b"HTTP/1.1 206 ") && answer.len() > 1_000);
                began.elapsed()
            })
            .collect();
        took.sort();
        let at = |percent: usize| took.get(took.len() * percent / 100).unwrap().as_secs_f64() * 1e3;
        let last = took.last().unwrap().as_secs_f64() * 1e3;
        format!("median {:.2} ms, p99 {:.2} ms, longest {last:.2} ms", at(50), at(99))
    }

    /// The process's resident memory, in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    }

    /// How many descriptors it has open.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
