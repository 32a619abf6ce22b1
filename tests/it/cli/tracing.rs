//! Traces of the running program: what it sends at the end, and what it says about a failing collector.

use std::sync::atomic::Ordering;

use super::{Home, Server, eventually};
use crate::support::collector::Collector;

fn start(home: &Home, collector: &Collector) -> Server {
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_TRACING_ENDPOINT", collector.url());
    Server::start(command)
}

#[test]
fn the_last_spans_are_sent_before_the_program_ends() {
    let (home, collector) = (Home::ready(), Collector::start());
    let mut server = start(&home, &collector);
    assert_eq!(server.get(&home.link()).status, 200);
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    let mut names: Vec<_> = collector.spans(2).into_iter().map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["GET /webhook-assets/recording/{id}", "store get"]);
    assert!(collector.services().iter().all(|service| service == "webhook-assets"));
}

#[test]
fn a_failing_collector_is_logged_once_and_so_is_its_recovery() {
    let (home, collector) = (Home::ready(), Collector::start());
    collector.answer(503);
    let server = start(&home, &collector);
    server.get(&home.link());
    let asked = || (collector.requests.load(Ordering::SeqCst) >= 2).then_some(());
    eventually(asked, || "it was not asked again".to_owned());
    server.logs("the collector of tracing.endpoint answers 503");
    collector.answer(200);
    server.logs("the trace collector answers again");
    assert_eq!(server.err().matches("spans cannot be exported").count(), 1, "{}", server.err());
    collector.spans(2);
}

#[test]
fn an_unreachable_collector_does_not_delay_the_end() {
    let home = Home::ready();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_TRACING_ENDPOINT", format!("http://{closed}"));
    let mut server = Server::start(command);
    assert_eq!(server.get(&home.link()).status, 200);
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    server.logs("cannot be reached");
    server.logs("the last spans were lost");
}
