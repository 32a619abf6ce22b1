//! A full disk: the sender accepts no call that it cannot write, and loses none that it wrote.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;

use crate::killed::all_end;
use crate::program::{Caller, Database, Home, call};
use crate::receivers::Receivers;

/// How long a test waits for an event that must happen.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A small disk; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Changes the mount options.
    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let remounted = Command::new("mount").args(["-o", &options]).arg(self.path()).output().unwrap();
        assert!(remounted.status.success(), "{}", String::from_utf8_lossy(&remounted.stderr));
    }

    /// `None` where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m", "webhook-assets-test"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_calls_with_503_and_loses_no_accepted_one() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped the full disk: mounting one needs root");
        return;
    };
    let receivers = Receivers::start().await;
    let home = Home::with_database(Database::Sqlite, Some(disk.path())).await;
    let program = home.start("127.0.0.1:0");
    let caller = Caller::new();
    for workspace in 0..10 {
        let url = receivers.url(&format!("/{workspace}"));
        caller.add_endpoint(&program.admin, &format!("w{workspace}"), &url).await;
    }

    let url = format!("{}/v1/calls", program.admin);
    let mut accepted = HashMap::new();
    let mut refused = 0;
    for at in 0..20_000 {
        let (workspace, id) = (format!("w{}", at % 10), format!("call-{at}"));
        match caller.try_ask("POST", &url, &call(&workspace, &id)).await.unwrap() {
            (StatusCode::ACCEPTED, answer) => {
                accepted.insert(answer["event"].as_str().unwrap().to_owned(), id);
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => refused += 1,
            (status, answer) => panic!("{status}: {answer}\n{}", home.log()),
        }
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20, "the disk never filled up, with {} calls", accepted.len());
    assert!(home.log().contains("disk is full"), "the log does not say what is wrong:\n{}", home.log());

    // The operator frees space, without touching the program.
    disk.remount("size=64m");
    all_end(&program.admin, &accepted, &receivers).await;
    let (status, _) = caller.try_ask("POST", &url, &call("w0", "call-after")).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED);
}

/// Waits until `/readyz` says these words about the webhooks.
async fn readiness_says(admin: &str, words: &str) {
    let (began, url) = (Instant::now(), format!("{admin}/readyz"));
    loop {
        let answer = Caller::new().ask("GET", &url, &Value::Null).await;
        if answer["webhooks"].as_str().unwrap().contains(words) {
            return;
        }
        assert!(began.elapsed() < WAIT_LIMIT, "{words:?} is not in {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the sender accepts a call.
async fn accepts(admin: &str, home: &Home) {
    let (began, url) = (Instant::now(), format!("{admin}/v1/calls"));
    for at in 0.. {
        let (status, answer) =
            Caller::new().try_ask("POST", &url, &call("w0", &format!("again-{at}"))).await.unwrap();
        if status == StatusCode::ACCEPTED {
            return;
        }
        assert!(began.elapsed() < WAIT_LIMIT, "{status} {answer}\n{}", home.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_waited_for() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped the full disk: mounting one needs root");
        return;
    };
    let filler = disk.path().join("filler");
    // Until the disk is full.
    let _ = std::fs::write(&filler, vec![0; 4 << 20]);
    let home = Home::with_database(Database::Sqlite, Some(disk.path())).await;
    let program = home.start("127.0.0.1:0");
    let url = format!("{}/v1/calls", program.admin);
    let (status, _) = Caller::new().try_ask("POST", &url, &call("w0", "early")).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    readiness_says(&program.admin, "disk is full").await;
    assert!(home.log().contains("disk is full"), "{}", home.log());
    fails(&home, &["disk", "a test file cannot be written", "cause: this machine"]);
    std::fs::remove_file(filler).unwrap();
    accepts(&program.admin, &home).await;
    readiness_says(&program.admin, "ok").await;
    // The disk of three megabytes is not full, and soon will be.
    fails(&home, &["disk", "MiB are free", "calls are refused once it is full"]);
    let answer = Caller::new().ask("GET", &format!("{}/readyz", program.admin), &Value::Null).await;
    let part = &answer["parts"]["webhooks"];
    assert_eq!(
        (part["state"].as_str(), answer["webhooks"].as_str()),
        (Some("degraded"), Some("ok")),
        "{answer}"
    );
    assert!(part["reason"].as_str().unwrap().contains("almost full"), "{answer}");
}

/// `check` fails with these words.
fn fails(home: &Home, words: &[&str]) {
    let ended = home.other(&["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("FAIL") && words.iter().all(|word| line.contains(word))),
        "{said}"
    );
}

#[tokio::test]
async fn a_file_system_that_is_read_only_at_the_start_is_waited_for() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped the read-only file system: mounting one needs root");
        return;
    };
    let home = Home::with_database(Database::Sqlite, Some(disk.path())).await;
    for round in ["nothing-there-yet", "there-is-a-database"] {
        disk.remount("ro");
        let program = home.start("127.0.0.1:0");
        let url = format!("{}/v1/calls", program.admin);
        let (status, _) = Caller::new().try_ask("POST", &url, &call("w0", round)).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{round}");
        readiness_says(&program.admin, "is read-only").await;
        disk.remount("rw");
        accepts(&program.admin, &home).await;
        readiness_says(&program.admin, "ok").await;
    }
}
