//! The access records of all sites of this test program: tests run at the same time, so each looks for its own records.

use std::io;
use std::sync::{Mutex, OnceLock};

use serde_json::{Map, Value};
use webhook_assets::cli::Metrics;
use webhook_assets::telemetry::{AccessLog, Sink};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Memory;

impl Sink for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.ends_with('\n'), "whole lines are written");
        LINES.lock().unwrap().extend(text.lines().map(str::to_owned));
        Ok(bytes.len())
    }
}

/// Where every site writes its records.
pub fn log() -> AccessLog {
    static LOG: OnceLock<AccessLog> = OnceLock::new();
    LOG.get_or_init(|| AccessLog::to(Memory, &Metrics::default().log).unwrap()).clone()
}

/// The lines that contain these words.
pub fn with(words: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(words)).cloned().collect()
}

/// Every line.
pub fn all() -> Vec<String> {
    with("")
}

/// The fields of a line.
pub fn fields(line: &str) -> Map<String, Value> {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { panic!("no JSON object: {line}") };
    fields
}
