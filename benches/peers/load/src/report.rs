//! The measurements, as a line of JSON.

use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Tally {
    /// How long each answer took, in microseconds.
    pub(crate) took: Vec<u32>,
    pub(crate) bytes: u64,
}

impl Tally {
    /// Counts an answer to a request of this moment.
    pub(crate) fn add(&mut self, asked: Instant, bytes: u64) {
        self.took.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
        self.bytes += bytes;
    }

    pub(crate) fn print(mut self, elapsed: Duration) {
        self.took.sort_unstable();
        let count = self.took.len();
        let at = |thousandth: usize| self.took.get((count * thousandth / 1000).min(count - 1)).unwrap_or(&0);
        println!(
            r#"{{"requests":{count},"bytes":{},"seconds":{:.6},"p50_us":{},"p99_us":{},"max_us":{}}}"#,
            self.bytes,
            elapsed.as_secs_f64(),
            at(500),
            at(990),
            at(1000),
        );
    }
}
