//! How much memory a download in flight costs while its client stalls, for files of different sizes.
//!
//! `cargo bench --bench stalled_downloads` starts the real program on a folder of its own, opens connections that ask
//! for a recording and then read nothing, and compares the process's resident memory before and after.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that meets the unexpected stops")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CONNECTIONS: usize = 500;
const CALL: &str = "550e8400-e29b-41d4-a716-446655440000";
const MEBIBYTE: u64 = 1 << 20;

fn main() {
    // `cargo test --benches` runs benchmarks too, with this argument; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("{CONNECTIONS} stalled downloads; resident memory of the process (VmRSS)");
    println!("{:>12} {:>12} {:>12} {:>16}", "file", "before", "stalled", "per download");
    for size in [MEBIBYTE, 5 * MEBIBYTE, 50 * MEBIBYTE, 500 * MEBIBYTE] {
        measure(size);
    }
}

fn measure(size: u64) {
    let folder = tempfile::tempdir().unwrap();
    let recordings = folder.path().join("recordings");
    std::fs::create_dir(&recordings).unwrap();
    // A sparse file: its length is what counts here.
    std::fs::File::create(recordings.join(format!("{CALL}.mp3"))).unwrap().set_len(size).unwrap();
    let server = Server::start(folder.path());
    let target = server.link();
    // The first downloads warm allocator and thread pool.
    drop((0..50).map(|_| server.stall(&target)).collect::<Vec<_>>());
    std::thread::sleep(Duration::from_millis(300));
    let before = server.resident();
    let stalled: Vec<TcpStream> = (0..CONNECTIONS).map(|_| server.stall(&target)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let after = server.resident();
    let each = after.saturating_sub(before) / CONNECTIONS as u64;
    println!(
        "{:>8} MiB {:>8} KiB {:>8} KiB {:>12} KiB",
        size / MEBIBYTE,
        before / 1024,
        after / 1024,
        each / 1024
    );
    drop(stalled);
}

struct Server {
    process: Child,
    address: String,
    keys: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(store: &std::path::Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.json").display().to_string();
        let made = Command::new(PROGRAM).args(["keys", "new", "--keys", &keys]).output().unwrap();
        assert!(made.status.success());
        let mut process = Command::new(PROGRAM)
            .arg("serve")
            .env("WEBHOOK_ASSETS_LISTEN", "127.0.0.1:0")
            .env("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0")
            .env("WEBHOOK_ASSETS_PUBLIC_URL", "http://localhost")
            .env("WEBHOOK_ASSETS_STORE", format!("file://{}", store.display()))
            .env("WEBHOOK_ASSETS_KEYS", &keys)
            .env("WEBHOOK_ASSETS_LOG_LEVEL", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        Self { process, address, keys, _folder: folder }
    }

    /// Path and query of a link.
    fn link(&self) -> String {
        let mint = ["mint", "recording", CALL, "--public-url", "http://localhost", "--keys", &self.keys];
        let output = Command::new(PROGRAM).args(mint).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().strip_prefix("http://localhost").unwrap().to_owned()
    }

    /// A connection that has read the first bytes of its answer and reads no more.
    fn stall(&self, target: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        stream
    }

    /// The process's resident memory, in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_webhook-assets");
