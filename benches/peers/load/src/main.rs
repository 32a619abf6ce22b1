//! Sends requests to a server over HTTP/1.1 and measures: one thread; it checks every answer's status and length.
//!
//!     load --address 127.0.0.1:8080 --targets FILE --connections 64 --seconds 2 --status 200 --length 8192
//!
//! A line of FILE is a target, or a target, a tab and the path of the file behind it (for `--cold`). When the time is
//! up, the client reads the answers in progress to their ends, so that the server's processor time belongs to exactly
//! the counted requests. The result is a line of JSON. `--slow RATE` reads RATE bytes a second instead (0: nothing
//! behind the head), prints `ready` when every answer has begun, and keeps the connections until its standard input
//! ends. `--streams N` sends over HTTP/2 instead, N requests at a time on each connection; with `--compare` it compares
//! the bodies with the files.

mod answer;
mod chunked;
mod connection;
mod http2;
mod options;
mod report;
mod slow;

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::connection::Connection;
use crate::options::{Options, Target};
use crate::report::Tally;

fn main() {
    let options: &'static Options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => Box::leak(Box::new(options)),
        Err(why) => stop(&why),
    };
    let done = match (options.slow, options.streams) {
        (Some(_), _) => slow::hold(options),
        (None, Some(streams)) => http2::measure(options, streams),
        (None, None) => measure(options),
    };
    if let Err(error) = done {
        stop(&error.to_string());
    }
}

fn stop(why: &str) -> ! {
    eprintln!("load: {why}");
    std::process::exit(1);
}

fn measure(options: &Options) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 * 1024];
    let mut tally = Tally::default();
    let mut targets = Targets::new(options);
    let began = Instant::now();
    let mut connections = Vec::with_capacity(options.connections);
    for at in 0..options.connections {
        let mut connection = Connection::open(options, at, poll.registry())?;
        if let Some(target) = targets.next()? {
            connection.ask(&target.request)?;
            connections.push(connection);
        }
    }
    let mut busy = connections.len();
    while busy > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(20)))?;
        if events.is_empty() {
            let answered = tally.took.len();
            return Err(io::Error::other(format!("no answer for 20 s, after {answered} that were answered")));
        }
        for event in &events {
            let Token(at) = event.token();
            let Some(connection) = connections.get_mut(at) else { continue };
            if !connection.waits_for_answer() {
                continue;
            }
            let Some(closes) = connection.go_on(options, &mut buffer, &mut tally)? else { continue };
            let Some(target) = targets.next()? else {
                busy -= 1;
                continue;
            };
            if closes || options.close {
                *connection = Connection::open(options, at, poll.registry())?;
            }
            connection.ask(&target.request)?;
        }
    }
    tally.print(began.elapsed());
    Ok(())
}

/// The targets in turn, so that no two connections read the same cold file, until time or number is reached.
struct Targets<'a> {
    options: &'a Options,
    asked: u64,
    until: Instant,
}

impl<'a> Targets<'a> {
    fn new(options: &'a Options) -> Self {
        Self { options, asked: 0, until: Instant::now() + options.time }
    }

    fn next(&mut self) -> io::Result<Option<&'a Target>> {
        if self.options.requests.map_or_else(|| Instant::now() >= self.until, |most| self.asked >= most) {
            return Ok(None);
        }
        let targets = &self.options.targets;
        let target = &targets[(self.options.first + self.asked as usize) % targets.len()];
        self.asked += 1;
        if self.options.cold {
            let path =
                target.file.as_ref().ok_or_else(|| io::Error::other("--cold needs the files' paths"))?;
            rustix::fs::fadvise(File::open(path)?, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        Ok(Some(target))
    }
}
