//! Times and durations in words.

use std::time::Duration;

use super::lang::Lang;
use crate::clock::UnixMillis;

/// What is nearer than this is "just now".
const NEAR: Duration = Duration::from_secs(10);

/// What is farther away than this has a date instead of a number of days.
const FAR: Duration = Duration::from_secs(30 * 86_400);

const MONTHS: [[&str; 12]; 2] = [
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."],
];

const UNITS: [(u64, [&str; 2], [&str; 2]); 4] = [
    (86_400, ["day", "days"], ["jour", "jours"]),
    (3_600, ["hour", "hours"], ["heure", "heures"]),
    (60, ["minute", "minutes"], ["minute", "minutes"]),
    (1, ["second", "seconds"], ["seconde", "secondes"]),
];

/// A duration in its largest unit: `2 minutes`, `1 jour`.
pub(crate) fn span(lang: Lang, span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = UNITS.iter().find(|(length, ..)| seconds >= *length);
    let (length, english, french) = unit.unwrap_or(&(1, ["second", "seconds"], ["seconde", "secondes"]));
    let count = seconds / length;
    let [one, many] = if lang == Lang::Fr { french } else { english };
    format!("{count} {}", if lang.is_singular(count) { one } else { many })
}

/// A time as its distance from now: `2 minutes ago`, `dans 3 heures`; far away, its date.
pub(crate) fn relative(lang: Lang, at: UnixMillis, now: UnixMillis) -> String {
    let is_past = at <= now;
    let distance = if is_past { now.since(at) } else { at.since(now) };
    if distance < NEAR {
        return near(lang, is_past).to_owned();
    }
    if distance >= FAR {
        return date(lang, &at.to_string());
    }
    let span = span(lang, distance);
    match (lang, is_past) {
        (Lang::En, true) => format!("{span} ago"),
        (Lang::En, false) => format!("in {span}"),
        (Lang::Fr, true) => format!("il y a {span}"),
        (Lang::Fr, false) => format!("dans {span}"),
    }
}

/// The word for a time that is about now.
pub(crate) fn near(lang: Lang, is_past: bool) -> &'static str {
    match (lang, is_past) {
        (Lang::En, true) => "just now",
        (Lang::En, false) => "in a moment",
        (Lang::Fr, true) => "à l’instant",
        (Lang::Fr, false) => "dans un instant",
    }
}

/// A time of day with its date, in UTC: `17 Dec 2025, 14:30 UTC`.
pub(crate) fn exact(lang: Lang, at: UnixMillis) -> String {
    let iso = at.to_string();
    format!("{}, {} UTC", date(lang, &iso), iso.get(11..16).unwrap_or_default())
}

/// The date of a time in RFC 3339: `17 Dec 2025`.
fn date(lang: Lang, iso: &str) -> String {
    let number = |range| iso.get(range).unwrap_or_default();
    let [english, french] = MONTHS;
    let months = if lang == Lang::Fr { french } else { english };
    let month =
        number(5..7).parse::<usize>().ok().and_then(|month| months.get(month.wrapping_sub(1)).copied());
    let day = number(8..10).trim_start_matches('0');
    // As the French do: 1er janvier.
    let day = if lang == Lang::Fr && day == "1" { "1er" } else { day };
    format!("{day} {} {}", month.unwrap_or_default(), number(0..4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_as_its_distance_in_both_languages() {
        let now = UnixMillis(1_765_981_800_250);
        let after = |seconds: u64| UnixMillis(now.0 + seconds * 1_000);
        for (at, english, french) in [
            (now, "just now", "à l’instant"),
            (after(5), "in a moment", "dans un instant"),
            (after(65), "in 1 minute", "dans 1 minute"),
            (now.minus(Duration::from_secs(59)), "59 seconds ago", "il y a 59 secondes"),
            (now.minus(Duration::from_secs(7_300)), "2 hours ago", "il y a 2 heures"),
            (now.minus(Duration::from_secs(86_400)), "1 day ago", "il y a 1 jour"),
            (now.minus(Duration::from_secs(40 * 86_400)), "7 Nov 2025", "7 nov. 2025"),
        ] {
            assert_eq!(relative(Lang::En, at, now), english);
            assert_eq!(relative(Lang::Fr, at, now), french);
        }
        assert_eq!(exact(Lang::En, now), "17 Dec 2025, 14:30 UTC");
        assert_eq!(exact(Lang::Fr, UnixMillis(1_769_904_000_000)), "1er févr. 2026, 00:00 UTC");
        assert_eq!(span(Lang::Fr, Duration::ZERO), "0 seconde");
    }
}
