//! The examples beside a real `serve`. `tests/receivers/examples.rs` has the receiver.

use std::io::{BufRead, BufReader, PipeWriter, Write, pipe};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use webhook_assets::{Minter, ReloadingKeyring};

use super::{Home, Server, eventually};
use crate::support::process::Running;
use crate::support::{CALL, recording, transcript};

#[expect(dead_code, reason = "its `main` runs as a program only")]
#[path = "../../../packages/rust/examples/mint.rs"]
mod mint;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_service_that_mints_follows_a_rotation_without_a_restart() {
    let home = Home::ready();
    let server = home.serve();
    let keyring = ReloadingKeyring::read(home.path("keys.json")).unwrap();
    let minter = Minter::new("https://app.example.com/api", keyring).unwrap();
    let ((questions, mut ask), (answers, answer)) = (pipe().unwrap(), pipe().unwrap());
    let service = thread::spawn(move || mint::answer(&minter, BufReader::new(questions), answer).unwrap());
    let mut answers = BufReader::new(answers);
    let mut mint = |ask: &mut PipeWriter, call: &str| -> Value {
        writeln!(ask, "{call}").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };

    let links = mint(&mut ask, &CALL.to_string());
    assert!(server.get(links["recording_url"].as_str().unwrap()).body == recording());
    assert!(server.get(links["transcript_url"].as_str().unwrap()).body == transcript());
    assert!(mint(&mut ask, "no call")["error"].is_string());

    home.run(&["keys", "rotate", "--starts-in", "0s"]).succeeded();
    let new = home.ids("keys.json").pop().unwrap();
    let rotated = eventually(
        || {
            let links = mint(&mut ask, &CALL.to_string());
            let link = links["recording_url"].as_str().unwrap().to_owned();
            home.run(&["verify", &link]).out.contains(&new).then_some(link)
        },
        || "the old key signs on".to_owned(),
    );
    let served = || (server.get(&rotated).status == 200).then_some(());
    eventually(served, || "the gateway does not know the new key".to_owned());
    drop(ask);
    service.join().unwrap();
}

#[test]
fn a_link_through_the_nginx_of_the_examples_downloads() {
    let missing = ["bash", "nginx", "openssl", "curl"].iter().find(|tool| !is_installed(tool));
    if let Some(tool) = missing {
        eprintln!("skipped: there is no {tool} on this machine: examples/nginx.sh is not tried");
        return;
    }
    let home = Home::ready();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{port}/api");
    let mut serve = home.program(&["serve"]);
    let server = Server::start({
        serve.env("WEBHOOK_ASSETS_PUBLIC_URL", &url);
        serve
    });
    let mut nginx = Command::new("bash");
    let script = root().join("examples/nginx.sh");
    nginx.arg(script).args([port.to_string(), server.gateway.to_string()]).arg(home.path("nginx"));
    let nginx = Running::start(nginx);
    let link = Command::new(env!("CARGO_BIN_EXE_webhook-assets"))
        .args(["mint", "recording", &CALL.to_string(), "--public-url", &url, "--keys"])
        .arg(home.path("keys.json"))
        .output()
        .unwrap();
    let link = String::from_utf8(link.stdout).unwrap();
    let download = || {
        let output = Command::new("curl").args(["-sk", "--fail", link.trim()]).output().unwrap();
        (output.stdout == recording()).then_some(())
    };
    eventually(download, || format!("no download of {link}: {} {}", nginx.out(), nginx.err()));
    nginx.signal("TERM");
}

fn is_installed(tool: &str) -> bool {
    // Whatever it makes of this argument, it has been started.
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
