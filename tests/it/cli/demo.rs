//! `demo`: what a newcomer sees with this repository and a minute.

use super::{Home, Server, eventually};
use crate::support::{CALL, transcript};

/// The links that a demo printed.
fn links(server: &Server) -> Vec<String> {
    let done = || server.out().contains("Ctrl-C").then_some(());
    eventually(done, || format!("no links: {} {}", server.out(), server.err()));
    let link =
        |word: &str| word.trim_matches('\'').starts_with("http").then(|| word.trim_matches('\'').to_owned());
    server.out().split_whitespace().skip_while(|word| *word != "recording").filter_map(link).collect()
}

#[test]
fn a_demo_receives_its_own_webhook_and_prints_two_links_that_work_and_one_that_expired() {
    let home = Home::without_keys();
    let mut server = Server::start({
        let mut command = home.bare(&["demo", "--listen", "127.0.0.1:0"]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    });
    let links = links(&server);
    assert_eq!(links.len(), 3, "{}", server.out());
    assert!(links.iter().all(|link| link.starts_with(&format!("http://{}/", server.gateway))), "{links:?}");

    let sample = format!("{}/fixtures/recordings/{CALL}.mp3", env!("CARGO_MANIFEST_DIR"));
    let answer = server.get(&links[0]);
    assert_eq!((answer.status, answer.must("content-type")), (200, "audio/mpeg"));
    assert!(answer.body == std::fs::read(sample).unwrap(), "the sample recording");
    let answer = server.get(&links[1]);
    assert_eq!((answer.status, answer.body), (200, transcript()));
    let answer = server.get(&links[2]);
    assert_eq!((answer.status, answer.code().as_str()), (403, "expired"));

    for words in [
        "\"event\": \"call.completed\"",
        "X-Webhook-Signature  good",
        "Standard Webhooks    good",
        "recording_url   200 OK, 323640 bytes, audio/mpeg",
        "transcript_url  200 OK, 26999 bytes, application/json",
    ] {
        assert!(server.out().contains(words), "{words:?} is missing in {}", server.out());
    }
    assert_eq!(server.err(), "", "nothing to warn of");

    server.signal("INT");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_demo_without_the_sample_call_says_where_it_looked() {
    let home = Home::without_keys();
    let ran = home.run(&["demo", "--listen", "127.0.0.1:0"]);
    ran.refused(1, &["fixtures", "--fixtures"]);
}
