//! Standard error and standard output that cannot be written: the program works without them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::runtime::Runtime;
use webhook_assets::AssetRef;
use webhook_assets::webhook::CompletedCall;

use super::access_log::metric;
use super::{Home, Ran, WAIT_LIMIT, eventually, get, target_of};
use crate::support::bucket::{Act, Bucket};
use crate::support::client::request_head;
use crate::support::receiver::Receiver;
use crate::support::{Answer, CALL, noise, recording};

/// A running program whose standard error the test ignores. Killed when dropped.
struct Mute {
    child: Child,
    gateway: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mute {
    fn start(mut command: Command, stderr: impl Into<Stdio>) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        // The command holds the other end of the pipe open too.
        drop(command);
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut address = || out.next().unwrap().split_once("://").unwrap().1.parse().unwrap();
        Self { gateway: address(), admin: address(), child }
    }

    /// Starts it on known ports, because standard output says nothing.
    fn without_output(mut command: Command, stdout: impl Into<Stdio>) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (gateway, admin) = (free(), free());
        command.env("WEBHOOK_ASSETS_LISTEN", gateway.to_string());
        command.env("WEBHOOK_ASSETS_ADMIN_LISTEN", admin.to_string());
        let child = command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
        let listens = || TcpStream::connect(admin).ok().map(drop);
        eventually(listens, || "it does not listen".to_owned());
        Self { child, gateway, admin }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        eventually(|| self.child.try_wait().unwrap(), || "it runs on".to_owned())
    }

    #[track_caller]
    fn stops(&mut self) {
        self.signal("TERM");
        assert_eq!(self.ended().code(), Some(0));
    }

    /// Posts a call; returns the status of the answer.
    fn call(&self, id: &str) -> u16 {
        let mut call = serde_json::to_value(CompletedCall::sample()).unwrap();
        (call["workspace"], call["call_id"]) = ("acme".into(), id.into());
        (call["recording"], call["transcript"]) = (CALL.to_string().into(), CALL.to_string().into());
        let body = call.to_string();
        let json = [("Content-Type", "application/json")];
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        let head = request_head("POST", "/v1/calls", &json, body.as_bytes());
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes, false).0.status
    }
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe whose reader has gone.
fn broken() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

/// A full pipe, and its reader.
fn clogged() -> (PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    std::thread::spawn(move || {
        let _ = filler.write_all(&vec![b'\n'; 1 << 20]);
    });
    std::thread::sleep(Duration::from_millis(100));
    (reader, writer)
}

/// The store is a bucket on this machine.
fn on_bucket(home: &Home, bucket: &Bucket) -> Command {
    let mut command = home.program(&["serve"]);
    command.envs([
        ("WEBHOOK_ASSETS_STORE", "s3://bucket"),
        ("AWS_ENDPOINT_URL", &format!("http://{}", bucket.address)),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "made-up"),
        ("AWS_SECRET_ACCESS_KEY", "made-up"),
        ("AWS_REGION", "eu-central-1"),
    ]);
    command
}

#[test]
fn a_full_disk_under_standard_error_does_not_stop_serving() {
    let home = Home::ready();
    let mut server = Mute::start(home.program(&["serve"]), full());
    for _ in 0..5 {
        assert_eq!(get(server.gateway, &home.link()).body, recording());
    }
    assert_eq!(get(server.admin, "/readyz").status, 200);
    let down = || (metric(server.admin, "webhook_assets_log_up") == 0.0).then_some(());
    eventually(down, || "the log is said to be well".to_owned());
    server.stops();
}

#[test]
fn a_store_that_failed_is_used_again_while_the_log_is_not_read() {
    let (home, runtime) = (Home::ready(), Runtime::new().unwrap());
    let bucket = runtime.block_on(Bucket::holding(recording()));
    let mut server = Mute::start(on_bucket(&home, &bucket), broken());
    let link = home.link();
    bucket.play(&[], Act::Status(500, "InternalError"));
    for _ in 0..8 {
        assert_eq!(get(server.gateway, &link).status, 503);
    }
    let down = || (metric(server.admin, "webhook_assets_store_up") == 0.0).then_some(());
    eventually(down, || "the store is said to be well".to_owned());
    bucket.play(&[], Act::Serve);
    let served = || (get(server.gateway, &link).status == 200).then_some(());
    eventually(served, || "503 for ever".to_owned());
    assert_eq!(metric(server.admin, "webhook_assets_store_up"), 1.0);
    server.stops();
}

#[test]
fn a_replaced_keyring_is_loaded_while_the_log_is_not_read() {
    let home = Home::ready();
    let mut server = Mute::start(home.program(&["serve"]), broken());
    for name in ["second.json", "third.json"] {
        let old = home.link();
        home.run(&["keys", "new", "--keys", name]).succeeded();
        std::fs::rename(home.path(name), home.path("keys.json")).unwrap();
        let followed = || (get(server.gateway, &old).status == 403).then_some(());
        eventually(followed, || "the removed key is still honoured".to_owned());
        assert_eq!(get(server.gateway, &home.link()).status, 200);
    }
    // The same holds for the certificate and all other reloads.
    server.signal("HUP");
    let read = || metric(server.admin, "webhook_assets_settings_reloads_total{result=\"ok\"}");
    eventually(|| (read() == 1.0).then_some(()), || "not read".to_owned());
    server.stops();
}

#[test]
fn a_download_is_completed_before_the_end_while_the_log_is_not_read() {
    let home = Home::ready();
    let path = home.path(&format!("store/{}", AssetRef::recording(CALL).object_path()));
    let bytes = noise(32 << 20);
    std::fs::write(path, &bytes).unwrap();
    let mut server = Mute::start(home.program(&["serve"]), broken());
    let mut stream = TcpStream::connect(server.gateway).unwrap();
    stream.write_all(request_head("GET", target_of(&home.link()), &[], b"").as_bytes()).unwrap();
    let mut answer = vec![0; 4_096];
    stream.read_exact(&mut answer).unwrap();
    server.signal("TERM");
    eventually(
        || TcpStream::connect(server.gateway).is_err().then_some(()),
        || "it still accepts connections".to_owned(),
    );
    stream.read_to_end(&mut answer).unwrap();
    assert!(Answer::parse(&answer, false).0.body == bytes);
    assert_eq!(server.ended().code(), Some(0));
}

/// Twenty calls to an endpoint that takes one at a time; `meanwhile` runs once they are accepted.
fn twenty_calls(stderr: impl Into<Stdio>, meanwhile: impl FnOnce()) -> Mute {
    let (home, runtime) = (Home::ready(), Runtime::new().unwrap());
    let receiver = runtime.block_on(Receiver::willing());
    let add = ["webhooks", "add", "--workspace", "acme", "--concurrency", "1", &receiver.url("/hook")];
    Ran::of(home.program(&add).envs(home.sending())).succeeded();
    let mut command = home.program(&["serve"]);
    command.envs(home.sending()).env("WEBHOOK_ASSETS_LOG_LEVEL", "debug");
    let server = Mute::start(command, stderr);
    for call in 0..20 {
        assert_eq!(server.call(&format!("call-{call}")), 202);
    }
    meanwhile();
    eventually(
        || (receiver.received().len() >= 20).then_some(()),
        || format!("{} of 20 arrived", receiver.received().len()),
    );
    let delivered =
        || metric(server.admin, "webhook_assets_webhook_deliveries_total{result=\"delivered\"}") == 20.0;
    eventually(|| delivered().then_some(()), || "not all are known to be delivered".to_owned());
    let ids: BTreeSet<_> =
        receiver.received().iter().map(|webhook| webhook.header("webhook-id").to_owned()).collect();
    assert_eq!((ids.len(), receiver.received().len()), (20, 20), "each once");
    server
}

#[test]
fn webhooks_are_sent_once_each_when_the_log_cannot_be_written() {
    twenty_calls(full(), || {}).stops();
    twenty_calls(broken(), || {}).stops();
    let (_reader, writer) = clogged();
    twenty_calls(writer, || {}).stops();
}

/// A file system of 256 KB with a log on it; `None` where this user may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=256k", "none"];
        let mounted = Command::new("mount").args(mount).arg(folder.path()).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn fill(&self) {
        let mut filler = File::create(self.path("filler")).unwrap();
        while filler.write_all(&[0; 512]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn lines_logged_while_the_disk_is_full_are_written_afterwards() {
    let Some(disk) = SmallDisk::mounted() else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let log = File::create(disk.path("log")).unwrap();
    disk.fill();
    let mut server = twenty_calls(log, || {
        std::thread::sleep(Duration::from_secs(2));
        std::fs::remove_file(disk.path("filler")).unwrap();
    });
    let text = || std::fs::read_to_string(disk.path("log")).unwrap();
    eventually(|| text().contains("is written again").then_some(()), text);
    assert_eq!(metric(server.admin, "webhook_assets_log_up"), 1.0);
    server.stops();
    let text = text();
    for line in text.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "torn: {line}");
    }
    assert!(
        text.contains("\"serving\"") && text.contains("every download in flight was completed"),
        "{text}"
    );
}

#[test]
fn a_log_that_is_not_read_does_not_delay_the_end() {
    let home = Home::ready();
    // Nothing else ends the wait for the log while this test waits.
    let serve = || {
        let mut command = home.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_SERVER_DRAIN_TIMEOUT", "1h");
        command
    };
    for stderr in [Stdio::from(clogged().1), Stdio::from(full()), Stdio::from(broken())] {
        let mut server = Mute::start(serve(), stderr);
        assert_eq!(get(server.gateway, &home.link()).status, 200);
        server.stops();
    }
    let (_reader, writer) = clogged();
    let mut server = Mute::start(serve(), writer);
    server.stops();
}

#[test]
fn broken_standard_output_does_not_stop_serving() {
    let home = Home::ready();
    let (_reader, clogged) = clogged();
    for (stdout, audited) in
        [(Stdio::from(full()), true), (Stdio::from(broken()), true), (Stdio::from(clogged), false)]
    {
        let mut command = home.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_AUDIT_FILE", "-");
        let mut server = Mute::without_output(command, stdout);
        assert_eq!(get(server.gateway, &home.link()).body, recording());
        let down = || (metric(server.admin, "webhook_assets_audit_up") == 0.0).then_some(());
        if audited {
            eventually(down, || "the audit is said to be well".to_owned());
        }
        assert_eq!(get(server.gateway, &home.link()).body, recording());
        server.stops();
    }
}

#[test]
fn log_lines_come_before_the_error_that_ends_the_program() {
    let home = Home::ready();
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_LISTN", "x").env("WEBHOOK_ASSETS_STORE", "file:///nowhere/at/all");
    let ran = Ran::of(&mut command);
    let lines: Vec<_> = ran.err.lines().collect();
    assert_eq!((ran.code, lines.len()), (Some(64), 2), "{ran:?}");
    assert!(lines[0].contains("WEBHOOK_ASSETS_LISTN is no setting"), "{ran:?}");
    assert!(lines[1].starts_with("error: store.url"), "{ran:?}");
    // Where it cannot print the error, the exit code reports it.
    let (_reader, clogged) = clogged();
    for stderr in [Stdio::from(full()), Stdio::from(broken()), Stdio::from(clogged)] {
        let mut command = home.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_LISTN", "x").env("WEBHOOK_ASSETS_STORE", "file:///nowhere/at/all");
        let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let code = eventually(|| child.try_wait().unwrap(), || "it runs on".to_owned()).code();
        assert_eq!(code, Some(64));
    }
}

#[test]
fn a_command_whose_output_cannot_be_written_ends_with_an_error() {
    let home = Home::ready();
    let commands: [&[&str]; 9] = [
        &["config"],
        &["--help"],
        &["--version"],
        &["completions", "bash"],
        &["check"],
        &["keys", "list"],
        &["mint", "recording", "550e8400-e29b-41d4-a716-446655440000"],
        &["no-such-command"],
        &["demo", "--listen", "192.0.2.1:0"],
    ];
    for arguments in commands {
        let outputs = [(full(), full()), (File::from(std::os::fd::OwnedFd::from(broken())), full())];
        for (stdout, stderr) in outputs {
            let mut child = home.program(arguments).stdout(stdout).stderr(stderr).spawn().unwrap();
            let code = eventually(|| child.try_wait().unwrap(), || "it runs on".to_owned()).code();
            assert!(matches!(code, Some(0..=2 | 64)), "{arguments:?}: {code:?}");
        }
        let mut child = home.program(arguments).stdout(broken()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(
            child.wait().unwrap().code().is_some() && !said.contains("panicked"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn the_program_prints_nowhere_that_a_failure_would_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for panics in ["println!(", "print!(", "eprint!(", "dbg!("] {
                assert!(!code.contains(panics), "{}: {panics}", path.display());
            }
        }
    }
}
