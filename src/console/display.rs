//! Formats values for pages: times, durations, states, names.

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;

use super::i18n::{Lang, Messages, exact, relative};
use super::locale::Locale;
use crate::clock::UnixMillis;
use crate::ledger::{Delivery, DeliveryState, ListedEndpoint};

/// A time, which a page says as its distance from now, with the exact time as its title. The script keeps the distance
/// fresh, and converts the exact time to local time. Its markup needs no escaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) UnixMillis);

/// A time of day with its date, for sentences with "since" and "until".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExactTime(UnixMillis);

impl HtmlSafe for Time {}
impl HtmlSafe for ExactTime {}

impl Time {
    pub(super) fn exact(self) -> ExactTime {
        ExactTime(self.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Locale { lang, now }) = Locale::current() else { return self.exact().fmt(f) };
        let (at, exact, relative) = (self.0, exact(lang, self.0), relative(lang, self.0, now));
        write!(f, "<time datetime=\"{at}\" title=\"{exact}\">{relative}</time>")
    }
}

impl fmt::Display for ExactTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lang = Locale::current().map_or(Lang::En, |locale| locale.lang);
        let (at, exact) = (self.0, exact(lang, self.0));
        write!(f, "<time class=\"exact\" datetime=\"{at}\" title=\"{at}\">{exact}</time>")
    }
}

/// A coloured state label.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pill {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
}

impl Pill {
    pub(super) fn of_delivery(delivery: &Delivery, t: &'static Messages) -> Self {
        let state = delivery.state;
        // A delivery that failed and will be retried counts neither as delivered nor as failed.
        let retrying = state == DeliveryState::Waiting && delivery.attempts > 0;
        let class = match state {
            DeliveryState::Delivered => "good",
            DeliveryState::Failed => "bad",
            DeliveryState::Sending => "busy",
            DeliveryState::Waiting | DeliveryState::Queued => "wait",
        };
        Self { class, word: if retrying { t.retrying } else { state_label(state, t) } }
    }
}

/// The label of a state.
pub(super) fn state_label(state: DeliveryState, t: &'static Messages) -> &'static str {
    match state {
        DeliveryState::Waiting => t.waiting,
        DeliveryState::Queued => t.queued,
        DeliveryState::Sending => t.sending,
        DeliveryState::Delivered => t.delivered,
        DeliveryState::Failed => t.failed,
    }
}

/// Formats a duration: `12 ms`, `1.3 s`.
pub(super) fn format_duration(duration: Duration, t: &Messages) -> String {
    let millis = duration.as_millis();
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    format!("{}{}{} s", millis / 1_000, t.decimal_mark, millis % 1_000 / 100)
}

/// Formats a position in a recording: `1:05`, `1:02:05`.
pub(super) fn position(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// The name of a webhook in lists: its description, or its host if it has none.
pub(super) fn name_of(endpoint: &ListedEndpoint) -> String {
    const LONGEST: usize = 60;
    let name =
        if endpoint.description.is_empty() { host_of(&endpoint.url) } else { endpoint.description.clone() };
    match name.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
        None => name,
    }
}

/// The host and port of a URL that was validated when it was saved.
pub(super) fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_formatted() {
        let at = "datetime=\"2025-12-17T14:30:00.250Z\"";
        let time = Time(UnixMillis(1_765_981_800_250));
        let exact = "title=\"2025-12-17T14:30:00.250Z\">17 Dec 2025, 14:30 UTC</time>";
        assert_eq!(time.to_string(), format!("<time class=\"exact\" {at} {exact}"));
        let locale = Locale { lang: Lang::Fr, now: UnixMillis(1_765_981_800_250 + 125_000) };
        let french = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(locale.scope(async { time.to_string() }));
        assert_eq!(french, format!("<time {at} title=\"17 déc. 2025, 14:30 UTC\">il y a 2 minutes</time>"));
        let format = |millis| format_duration(Duration::from_millis(millis), Lang::Fr.messages());
        assert_eq!(
            (format(7).as_str(), format(999).as_str(), format(1_390).as_str()),
            ("7 ms", "999 ms", "1,3 s")
        );
        assert_eq!((position(65_400).as_str(), position(3_725_000).as_str()), ("1:05", "1:02:05"));
        assert_eq!(host_of("https://example.com:8443/a?b"), "example.com:8443");
    }
}
