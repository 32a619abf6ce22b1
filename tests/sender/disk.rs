//! A full disk: nothing is accepted that is not on it, and nothing is lost that was.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use http::StatusCode;

use crate::killed::all_end;
use crate::program::{Caller, Home, Place, call};
use crate::receivers::Receivers;

/// A small disk of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
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
async fn a_full_disk_refuses_calls_with_503_and_loses_none_that_it_took() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped the full disk: mounting one needs root");
        return;
    };
    let receivers = Receivers::start().await;
    let home = Home::with_database(Place::Sqlite, Some(disk.path())).await;
    let program = home.start("127.0.0.1:0", None);
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
                accepted.insert(id, answer["event"].as_str().unwrap().to_owned());
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

    // Somebody makes room, without touching the program.
    let remount = Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk.path()).output().unwrap();
    assert!(remount.status.success());
    all_end(&program.admin, &accepted, &receivers).await;
    let (status, _) = caller.try_ask("POST", &url, &call("w0", "call-after")).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED);
}
