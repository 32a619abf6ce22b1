//! A program that runs while a test watches it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::waiting::eventually;

/// A running program; killed when dropped.
pub struct Running {
    child: Child,
    out: Output,
    err: Output,
}

/// What a running program has written so far.
type Output = Arc<Mutex<String>>;

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = piped(&mut command).spawn().unwrap();
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// The address that it prints for one of its listeners.
    #[track_caller]
    pub fn address(&self, name: &str) -> SocketAddr {
        let start = format!("{name} listening on ");
        let address = |line: &str| line.strip_prefix(&start)?.split_once("://")?.1.parse().ok();
        eventually(
            || self.out().lines().find_map(address),
            || format!("{name} is not bound; standard error: {}", self.err()),
        )
    }

    pub fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    pub fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Waits until it has printed these words.
    #[track_caller]
    pub fn prints(&self, words: &str) {
        eventually(|| self.out().contains(words).then_some(()), || format!("no {words:?} in {}", self.out()));
    }

    /// Waits until it has logged these words.
    #[track_caller]
    pub fn logs(&self, words: &str) {
        eventually(|| self.err().contains(words).then_some(()), || format!("no {words:?} in {}", self.err()));
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        eventually(|| self.child.try_wait().unwrap(), || "it runs on".to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

fn collect(stream: impl Read + Send + 'static) -> Output {
    let output = Output::default();
    let into = Arc::clone(&output);
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
            into.lock().unwrap().push_str(&line);
            line.clear();
        }
    });
    output
}
