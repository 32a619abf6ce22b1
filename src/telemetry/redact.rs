//! Removes signatures from request targets before they are logged.

use memchr::memchr;

/// The longest target that a log contains, in bytes.
const LONGEST_TARGET: usize = 512;

/// Returns a request target that is safe to log, at most 512 bytes long. It replaces the value of every parameter whose
/// name ends in `sig`, and every run of 16 or more hexadecimal digits.
#[must_use]
pub fn redact_target(path_and_query: &str) -> String {
    let mut target = String::new();
    redact_into(path_and_query, &mut target);
    target
}

pub(super) fn redact_into(path_and_query: &str, target: &mut String) {
    let (path, query) = split_at_byte(b'?', path_and_query);
    let all = if query.is_empty() { path } else { path_and_query };
    let (mut pairs, mut written) = (query, 0);
    while !pairs.is_empty() {
        let (pair, rest) = split_at_byte(b'&', pairs);
        let (name, value) = split_at_byte(b'=', pair);
        let end = all.len() - rest.len() - usize::from(pair.len() < pairs.len());
        if name.len() < pair.len() && ends_with_sig(name) {
            // A separator is not a digit, so this split cuts no run of digits in two.
            redact_digits(all.get(written..end - value.len()).unwrap_or_default(), target);
            target.push_str("[redacted]");
            written = end;
        }
        pairs = rest;
    }
    redact_digits(all.get(written..).unwrap_or_default(), target);
    if target.len() > LONGEST_TARGET {
        let end = (0..=LONGEST_TARGET).rev().find(|at| target.is_char_boundary(*at)).unwrap_or_default();
        target.truncate(end);
        target.push('…');
    }
}

/// The text before and after the first `byte`, an ASCII character; without one, the whole text and an empty one.
fn split_at_byte(byte: u8, text: &str) -> (&str, &str) {
    memchr(byte, text.as_bytes())
        .and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)))
        .unwrap_or((text, ""))
}

fn ends_with_sig(name: &str) -> bool {
    let last = name.len().checked_sub(3).and_then(|at| name.as_bytes().get(at..));
    last.is_some_and(|last| last.eq_ignore_ascii_case(b"sig"))
}

/// The shortest run of hexadecimal digits that may be part of a signature.
const RUN: usize = 16;

fn redact_digits(text: &str, redacted: &mut String) {
    let bytes = text.as_bytes();
    let (mut written, mut start) = (0, 0);
    // A run that starts at `start` is long enough only if all these bytes are digits; otherwise skip past the last
    // non-digit.
    while let Some(run) = bytes.get(start..start + RUN) {
        if let Some(other) = run.iter().rposition(|byte| !byte.is_ascii_hexdigit()) {
            start += other + 1;
            continue;
        }
        let more = bytes.get(start + RUN..).unwrap_or_default();
        let end = start + RUN + more.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        // Digits are single-byte characters, so a run starts and ends between characters.
        redacted.push_str(text.get(written..start).unwrap_or_default());
        redacted.push_str("[redacted]");
        (written, start) = (end, end);
    }
    redacted.push_str(text.get(written..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIG: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn no_signature_survives_redaction() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let spoiled = SIG.replacen('d', "Z", 1);
        for target in [
            format!("/webhook-assets/recording/{id}?expires=1&sig={SIG}"),
            format!("/webhook-assets/recording/{id}?expires=1&amp;sig={SIG}&x=y"),
            format!("/webhook-assets/recording/{id}?SIG={SIG}"),
            format!("/webhook-assets/recording/{id}%3Fexpires=1%26sig={SIG}"),
            format!("/webhook-assets/recording/{id}?expires=1&sig={spoiled}"),
            format!("/x/{SIG}/y?q={SIG}"),
            format!("/x?{SIG}"),
        ] {
            let logged = redact_target(&target);
            assert!(!logged.contains(&SIG[40..]) && logged.contains("[redacted]"), "{logged}");
        }
        let logged =
            redact_target(&format!("/webhook-assets/recording/{id}?expires=1734567890&sig={SIG}&utm=a"));
        assert_eq!(logged, format!("/webhook-assets/recording/{id}?expires=1734567890&sig=[redacted]&utm=a"));
    }

    proptest! {
        #[test]
        fn every_run_of_16_digits_goes_and_nothing_else(text in "([0-9a-fA-F]{0,20}[g-z/é-]{0,3}){0,6}") {
            let mut redacted = String::new();
            redact_digits(&text, &mut redacted);
            let mut model = String::new();
            let is_digit = |c: char| c.is_ascii_hexdigit();
            let mut rest = &*text;
            while !rest.is_empty() {
                let run = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
                model.push_str(if run >= 16 { "[redacted]" } else { &rest[..run] });
                rest = &rest[run..];
                let others = rest.find(is_digit).unwrap_or(rest.len());
                model.push_str(&rest[..others]);
                rest = &rest[others..];
            }
            prop_assert_eq!(redacted, model);
        }
    }

    #[test]
    fn a_long_or_strange_target_is_cut_at_a_character() {
        let logged = redact_target(&"/é".repeat(1_000));
        assert!(logged.len() <= LONGEST_TARGET + '…'.len_utf8());
        assert_eq!(redact_target(""), "");
        assert_eq!(redact_target("/a?"), "/a");
    }
}
