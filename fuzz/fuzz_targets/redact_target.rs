//! A request target on its way into the log: no signature survives, and the length is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webhook_assets::telemetry::redact_target;

const SIG: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// Stands for a signature in the fuzzer's text.
const SIG_HERE: char = '\u{1}';

fuzz_target!(|text: &str| {
    let target = text.replace(SIG_HERE, SIG);
    let logged = redact_target(&target);
    assert!(logged.len() <= 512 + '…'.len_utf8());
    let mut run = 0;
    for byte in logged.bytes() {
        run = if byte.is_ascii_hexdigit() { run + 1 } else { 0 };
        assert!(run < 16, "{logged}");
    }
    if let Some((_, query)) = logged.split_once('?') {
        let complete = query.split('&').filter(|pair| !pair.ends_with('…'));
        for (name, value) in complete.filter_map(|pair| pair.split_once('=')) {
            assert!(!name.to_ascii_lowercase().ends_with("sig") || value == "[redacted]" || logged.len() > 500, "{logged}");
        }
    }
});
