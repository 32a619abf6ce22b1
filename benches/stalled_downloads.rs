//! What downloads in flight cost while their clients stall, and what the program keeps afterwards.
//!
//! `cargo bench --bench stalled_downloads` starts the real program on a fresh folder. First it compares files of
//! different sizes; then it opens 10,000 connections (or their number behind `--`), each of which requests a recording
//! of 5 MB and reads nothing more, and prints the program's memory and the kernel's, how fast the program answers new
//! requests meanwhile, and what it has released once it has disconnected the stalled clients.
//!
//! The program has two descriptors for each download, connection and file. Where the limit on open files of one process
//! is too low, several processes of the program share the connections, and the figures are their sum. The clients are
//! separate processes: this one, started again with `clients`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may stop at an error")]

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

/// The number of connections for each size, and for the large run when there are enough descriptors.
const FEW: usize = 500;
const MANY: usize = 10_000;

/// Descriptors of a process beside downloads: those that the program keeps free, and new requests meanwhile.
const RESERVE: u64 = 400;

/// The stall timeout in the large run: long enough to open all connections and to measure between.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

fn main() {
    // `cargo test --benches` runs benchmarks too, with this argument; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, address, target, count, first] = &arguments[..]
        && word == "clients"
    {
        return be_clients(address, target, count.parse().unwrap(), first.parse().unwrap());
    }
    let asked = arguments.iter().find_map(|argument| argument.parse().ok());
    println!("{FEW} stalled downloads; resident memory of the process (VmRSS)");
    println!("{:>12} {:>12} {:>12} {:>16}", "file", "before", "stalled", "per download");
    for size in [MEBIBYTE, 5 * MEBIBYTE, 50 * MEBIBYTE, 500 * MEBIBYTE] {
        compare(size);
    }
    measure(asked.unwrap_or(MANY));
}

/// Opens connections, says so, and holds them until standard input ends.
fn be_clients(address: &str, target: &str, count: usize, first: usize) {
    descriptors();
    let address = address.parse().unwrap();
    let stalled: Vec<TcpStream> = (first..first + count).map(|at| stall(address, target, at)).collect();
    println!("opened");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(stalled);
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
    let stalled: Vec<TcpStream> = (0..FEW).map(|at| stall(server.address, &target, at)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let after = server.memory("VmRSS");
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
    let most = usize::try_from(descriptors().saturating_sub(RESERVE) / 2).unwrap();
    let processes = count.div_ceil(most);
    let share = count.div_ceil(processes);
    let servers: Vec<Server> = (0..processes).map(|_| Server::start(RECORDING, share)).collect();
    let targets: Vec<String> = servers.iter().map(Server::link).collect();
    for (server, target) in servers.iter().zip(&targets) {
        server.warmed(target);
    }
    let (first, target) = (servers.first().unwrap(), targets.first().unwrap());
    println!(
        "\n{count} stalled downloads of a recording of 5 MB, over {processes} process(es) of the program"
    );
    let before = Held::by(&servers);
    println!("before:  {before}");
    let alone = first.latencies(target);
    println!("a new request (whole recording's first 1,000 bytes, on a new connection): {alone}");
    let began = Instant::now();
    let mut clients = Vec::new();
    for (at, (server, target)) in servers.iter().zip(&targets).enumerate() {
        let (from, to) = (at * share, ((at + 1) * share).min(count));
        clients.push(Clients::start(server.address, target, to - from, from));
    }
    clients.iter_mut().for_each(Clients::opened);
    println!("opened:  in {:.1} s", began.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(2));
    let during = Held::by(&servers);
    println!("stalled: {during}");
    println!("each:    {}", during.each_above(&before, count));
    println!("a new request meanwhile: {}", first.latencies(target));
    let stalled = during.descriptors - before.descriptors;
    assert!(
        stalled >= 2 * count,
        "the server disconnected some before the measurement: {stalled} descriptors"
    );
    while Held::by(&servers).descriptors > before.descriptors + 10 {
        assert!(began.elapsed() < 5 * STALL_TIMEOUT, "the stalled clients are not disconnected");
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("left:    the last one {:.0} s after the first was opened", began.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(2));
    println!("after:   {}", Held::by(&servers));
    drop(clients);
}

/// What the servers hold together, and the kernel for their sockets.
struct Held {
    resident: u64,
    anonymous: u64,
    kernel: u64,
    descriptors: usize,
}

impl Held {
    fn by(servers: &[Server]) -> Self {
        Self {
            resident: servers.iter().map(|server| server.memory("VmRSS")).sum(),
            anonymous: servers.iter().map(|server| server.memory("RssAnon")).sum(),
            kernel: servers.iter().map(socket_memory).sum(),
            descriptors: servers.iter().map(Server::descriptors).sum(),
        }
    }

    fn each_above(&self, before: &Self, count: usize) -> String {
        let each = |now: u64, then: u64| now.saturating_sub(then) as f64 / count as f64 / 1024.0;
        format!(
            "{:.1} KiB of the process (RssAnon), {:.1} KiB of the kernel for its socket",
            each(self.anonymous, before.anonymous),
            each(self.kernel, before.kernel)
        )
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resident, anonymous, kernel, descriptors } = self;
        let [resident, anonymous, kernel] = [resident, anonymous, kernel].map(|bytes| bytes / 1024);
        write!(
            f,
            "{resident} KiB resident ({anonymous} anonymous), {kernel} KiB in sockets, {descriptors} descriptors"
        )
    }
}

/// What the kernel holds for the sockets of a server, in bytes: received, to be sent, and reserved for either (`r`, `w`
/// and `f` of `ss -m`).
fn socket_memory(server: &Server) -> u64 {
    let of_its_port = ["sport", "=", &format!(":{}", server.address.port())];
    let listed = Command::new("ss").arg("-tmnH").args(of_its_port).output();
    // Debian's package iproute2 has `ss`.
    let listed = listed.unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let sockets = text.split("skmem:(").skip(1).filter_map(|rest| rest.split(')').next());
    let parts = sockets.flat_map(|parts| parts.split(','));
    parts.filter_map(|part| part.strip_prefix(['r', 'w', 'f'])?.parse::<u64>().ok()).sum()
}

/// Clients that stall, in a separate process; they end when this is dropped.
struct Clients(Child);

impl Clients {
    fn start(address: SocketAddr, target: &str, count: usize, first: usize) -> Self {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["clients", &address.to_string(), target, &count.to_string(), &first.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(process)
    }

    fn opened(&mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "opened\n", "clients could not open their connections");
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection that has read the first bytes of its answer and reads no more. Each thousand connections share a source
/// address, so that ports do not run out.
fn stall(address: SocketAddr, target: &str, at: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The benchmark does not measure what the client's kernel buffers.
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(at / 1_000).unwrap());
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut start = [0; 15];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    stream
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
        // A sparse file: only its length counts here.
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
            .env("WEBHOOK_ASSETS_GATEWAY_REQUESTS_PER_ADDRESS", &room)
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

    /// The first downloads warm allocator and thread pool. Returns the resident memory after them.
    fn warmed(&self, target: &str) -> u64 {
        drop((0..50).map(|at| stall(self.address, target, at)).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(500));
        self.memory("VmRSS")
    }

    /// How long requests take, each on a new connection, one after the other.
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

    /// A line of the process's memory, in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
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
