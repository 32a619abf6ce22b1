//! Draws figures as SVG: the results of attempts as bars, and answering times as a line. A chart has no size: the style
//! sheet stretches it.

use std::fmt::Write;

use crate::ledger::AttemptFigures;

/// The width of a part, in the units of the drawing.
const PART: usize = 40;

/// The width of its bar.
const BAR: usize = 30;

/// The height of the drawing.
const HEIGHT: u64 = 240;

/// The height of the smallest bar: one failure among thousands of successes stays visible.
const SMALLEST: u64 = 16;

/// The space above and below a line, which has a width.
const MARGIN: u64 = 10;

/// Bars for each part of a span: successes stand above a line, failures hang below it, so that they differ without colours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bars {
    /// The area of the drawing, for `viewBox`.
    pub(super) area: String,
    /// The line between successes and failures.
    pub(super) line: u64,
    /// Paths.
    pub(super) succeeded: String,
    pub(super) failed: String,
}

impl Bars {
    pub(super) fn of(parts: &[AttemptFigures]) -> Self {
        let most = |count: fn(&AttemptFigures) -> u64| parts.iter().map(count).max().unwrap_or_default();
        let (succeeded, failed) = (most(|part| part.succeeded), most(|part| part.failed));
        let scale = Scale::of(succeeded.saturating_add(failed));
        let line = match (succeeded, failed) {
            (_, 0) => HEIGHT,
            (0, _) => 0,
            _ => scale.length(succeeded).min(HEIGHT - SMALLEST),
        };
        let up = |count| (line - scale.length(count).min(line), scale.length(count).min(line));
        let down = |count| (line, scale.length(count).min(HEIGHT - line));
        Self {
            area: area(parts),
            line,
            succeeded: bars(parts.iter().map(|part| part.succeeded), up),
            failed: bars(parts.iter().map(|part| part.failed), down),
        }
    }
}

/// Maps counts to lengths.
struct Scale {
    most: u64,
}

impl Scale {
    fn of(most: u64) -> Self {
        Self { most: most.max(1) }
    }

    fn length(&self, count: u64) -> u64 {
        (count.saturating_mul(HEIGHT) / self.most).max(SMALLEST)
    }
}

fn area(parts: &[AttemptFigures]) -> String {
    format!("0 0 {} {HEIGHT}", (parts.len() * PART).saturating_sub(PART - BAR))
}

/// A path with a bar for each count that is not zero. `place` gives its top and its height.
fn bars(counts: impl Iterator<Item = u64>, place: impl Fn(u64) -> (u64, u64)) -> String {
    let mut path = String::new();
    for (at, count) in counts.enumerate().filter(|(_, count)| *count > 0) {
        let (top, height) = place(count);
        // Writing to a string does not fail.
        let _ = write!(path, "M{} {top}h{BAR}v{height}h-{BAR}z", at * PART);
    }
    path
}

/// A line through the median answering time of each part; it has gaps where there were no answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) area: String,
    pub(super) path: String,
}

impl Line {
    pub(super) fn of(parts: &[AttemptFigures]) -> Self {
        let medians: Vec<Option<u64>> = parts
            .iter()
            .map(|part| part.median().and_then(|median| u64::try_from(median.as_millis()).ok()))
            .collect();
        let scale = Scale::of(medians.iter().flatten().copied().max().unwrap_or_default());
        let (mut path, mut is_drawing) = (String::new(), false);
        for (at, median) in medians.into_iter().enumerate() {
            if let Some(median) = median {
                let height = scale.length(median).min(HEIGHT) * (HEIGHT - 2 * MARGIN) / HEIGHT;
                let (x, y) = (at * PART + BAR / 2, HEIGHT - MARGIN - height);
                let step = if is_drawing { 'L' } else { 'M' };
                // A line without length shows a single point as a dot.
                let _ = write!(path, "{step}{x} {y}h0");
            }
            is_drawing = median.is_some();
        }
        Self { area: area(parts), path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successes_stand_above_the_line_and_failures_hang_below_it() {
        let bars = Bars::of(&[
            AttemptFigures::of_counts(9, 0),
            AttemptFigures::of_counts(0, 0),
            AttemptFigures::of_counts(3, 3),
        ]);
        assert_eq!((bars.area.as_str(), bars.line), ("0 0 110 240", 180));
        assert_eq!(bars.succeeded, "M0 0h30v180h-30zM80 120h30v60h-30z");
        assert_eq!(bars.failed, "M80 180h30v60h-30z");
    }

    #[test]
    fn one_failure_among_many_successes_is_visible_and_nothing_leaves_the_drawing() {
        let bars = Bars::of(&[AttemptFigures::of_counts(1_000_000, 1)]);
        assert_eq!((bars.line, bars.failed.as_str()), (224, "M0 224h30v16h-30z"));
        assert_eq!(bars.succeeded, "M0 0h30v224h-30z");
        let none = Bars::of(&[AttemptFigures::of_counts(0, 0)]);
        assert_eq!((none.succeeded, none.failed), (String::new(), String::new()));
        let failed = Bars::of(&[AttemptFigures::of_counts(0, 5)]);
        assert_eq!((failed.line, failed.failed.as_str()), (0, "M0 0h30v240h-30z"));
        let most = Bars::of(&[AttemptFigures::of_counts(u64::MAX, u64::MAX)]);
        assert!(most.line <= HEIGHT, "{most:?}");
        assert_eq!(Line::of(&[AttemptFigures::of_counts(1, 0)]).path, "", "without an answering time");
    }
}
