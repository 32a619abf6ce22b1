//! Reads the figures of endpoints: how many of their deliveries are pending or failed, and the results and answering times
//! of their attempts. The database's triggers keep them (migrations 0016 and 0022), so a page costs the same for any history.

use std::collections::HashMap;
use std::time::Duration;

use super::database::{Statement, column, converted, from_row, over_ids, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// An hour, in milliseconds: what attempts are counted by.
const HOUR: u64 = 60 * 60 * 1000;

/// The first of the times that answers are counted by.
const SHORTEST: Duration = Duration::from_millis(25);

/// The last but one; answers that took longer are counted together.
const LONGEST: Duration = Duration::from_millis(6_400);

/// How long the figures of an hour are kept.
const KEPT: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// A time span that ends now, in parts of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureSpan {
    /// 24 parts of an hour.
    Day,
    /// 30 parts of 24 hours.
    Month,
}

impl FigureSpan {
    /// How many parts it has.
    #[must_use]
    pub fn parts(self) -> usize {
        match self {
            Self::Day => 24,
            Self::Month => 30,
        }
    }

    /// When each part begins. The last part contains now.
    #[must_use]
    pub fn begins(self, now: UnixMillis) -> Vec<UnixMillis> {
        let first = self.first_hour(now);
        (0..self.parts() as u64).map(|part| UnixMillis((first + part * self.hours()) * HOUR)).collect()
    }

    /// The first hour, counted since 1970.
    fn first_hour(self, now: UnixMillis) -> u64 {
        (now.0 / HOUR + 1).saturating_sub(self.hours() * self.parts() as u64)
    }

    /// The hours of one part.
    fn hours(self) -> u64 {
        match self {
            Self::Day => 1,
            Self::Month => 24,
        }
    }
}

/// Attempts of an endpoint in some time. Test events are included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptFigures {
    /// Those that the receiver answered with 2xx.
    pub succeeded: u64,
    /// The others.
    pub failed: u64,
    /// How many answers took less than a time, and no less than the one before, in ascending order.
    answers: Vec<(Duration, u64)>,
}

impl AttemptFigures {
    /// Counts without answering times.
    #[cfg(test)]
    pub(crate) fn of_counts(succeeded: u64, failed: u64) -> Self {
        Self { succeeded, failed, ..Self::default() }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// The median of the times that answers took, read from counts for each doubling of the time; `None` without answers.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let all: u64 = self.answers.iter().map(|(_, count)| count).sum();
        let mut before = 0;
        for (below, count) in &self.answers {
            if (before + count) * 2 >= all && *count > 0 {
                let from = lower_bound(*below);
                // Within a doubling, times count as evenly spread. The last one has no end: it counts as a doubling.
                let width = from.max(SHORTEST).as_millis();
                let place = width * u128::from(all - 2 * before) / u128::from(2 * count);
                return Some(from + Duration::from_millis(u64::try_from(place).unwrap_or_default()));
            }
            before += count;
        }
        None
    }

    fn add(&mut self, row: &HourRow) {
        self.succeeded += row.succeeded;
        self.failed += row.failed;
        if row.below_ms == 0 {
            return;
        }
        let (below, count) = (Duration::from_millis(row.below_ms), row.succeeded + row.failed);
        match self.answers.binary_search_by_key(&below, |(below, _)| *below) {
            Ok(found) => self.answers.iter_mut().skip(found).take(1).for_each(|(_, known)| *known += count),
            Err(place) => self.answers.insert(place, (below, count)),
        }
    }
}

/// The time that answers took at least that are counted as below a time.
fn lower_bound(below: Duration) -> Duration {
    match below {
        below if below <= SHORTEST => Duration::ZERO,
        below if below > LONGEST => LONGEST,
        below => below / 2,
    }
}

/// The figures of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointFigures {
    /// Deliveries of calls that have not ended.
    pub pending: u64,
    /// Deliveries of calls that failed, whenever that was.
    pub failed: u64,
    /// When its receiver last answered an attempt with 2xx, within the last 31 days.
    pub last_success: Option<UnixMillis>,
    /// All attempts of the span.
    pub attempts: AttemptFigures,
    /// Those of each part of the span, the earliest first. The last part contains now.
    pub parts: Vec<AttemptFigures>,
}

struct HourRow {
    endpoint: String,
    part: u64,
    below_ms: u64,
    succeeded: u64,
    failed: u64,
}

from_row!(row => HourRow {
    endpoint: column(row, "endpoint_id")?,
    part: converted::<i64, _, _>(row, "part")?,
    below_ms: converted::<i64, _, _>(row, "below_ms")?,
    succeeded: converted::<i64, _, _>(row, "succeeded")?,
    failed: converted::<i64, _, _>(row, "failed")?,
});

struct CountRow {
    endpoint: String,
    pending: i64,
    failed: i64,
    last_success_at: Option<UnixMillis>,
}

from_row!(row => CountRow {
    endpoint: column(row, "id")?,
    pending: column(row, "pending")?,
    failed: column(row, "failed")?,
    last_success_at: column(row, "last_success_at")?,
});

const HOURS: Statement = over_ids!(
    "SELECT endpoint_id, (hour - $2) / $3 AS part, below_ms, CAST(sum(succeeded) AS BIGINT) AS succeeded, \
     CAST(sum(failed) AS BIGINT) AS failed FROM endpoint_hours WHERE endpoint_id",
    " AND hour >= $2 AND hour < $2 + $3 * $4 GROUP BY 1, 2, 3",
);

/// Deliveries that are being sent are not in the kept counts. They are never more than the attempts in flight.
macro_rules! counts {
    ($deliveries:literal, $in:literal) => {
        concat!(
            "SELECT e.id, CAST(coalesce(s.sending, 0) + coalesce((SELECT sum(c.pending) FROM delivery_counts c \
             WHERE c.endpoint_id = e.id), 0) AS BIGINT) AS pending, \
             (SELECT CAST(coalesce(sum(c.failed), 0) AS BIGINT) FROM delivery_counts c WHERE c.endpoint_id = e.id) AS failed, \
             (SELECT h.last_success_at FROM endpoint_hours h WHERE h.endpoint_id = e.id AND h.last_success_at > 0 \
              ORDER BY h.hour DESC, h.last_success_at DESC LIMIT 1) AS last_success_at \
             FROM endpoints e LEFT JOIN (SELECT endpoint_id, count(*) AS sending FROM ",
            $deliveries,
            " WHERE state = 'sending' AND lease_until > 0 AND NOT test GROUP BY endpoint_id) AS s ON s.endpoint_id = e.id WHERE e.id ",
            $in
        )
    };
}

const COUNTS: Statement = Statement {
    sqlite: counts!("deliveries INDEXED BY deliveries_leased", "IN (SELECT value FROM json_each($1))"),
    postgres: counts!("deliveries", "= ANY ($1::text[])"),
};

/// Only one process folds at a time; the number is arbitrary.
const FOLD_LOCK: Statement = Statement::same("SELECT pg_try_advisory_xact_lock(7305807002)");

const FOLD_COUNTS: Statement = Statement::same(
    "WITH several AS (SELECT endpoint_id FROM delivery_counts GROUP BY endpoint_id HAVING count(*) > 1), \
     gone AS (DELETE FROM delivery_counts c USING several s WHERE c.endpoint_id = s.endpoint_id RETURNING c.*) \
     INSERT INTO delivery_counts (endpoint_id, pending, failed) \
     SELECT endpoint_id, sum(pending), sum(failed) FROM gone GROUP BY endpoint_id",
);

const FOLD_HOURS: Statement = Statement::same(
    "WITH several AS (SELECT endpoint_id, hour, below_ms FROM endpoint_hours WHERE hour >= $1 \
     GROUP BY endpoint_id, hour, below_ms HAVING count(*) > 1), \
     gone AS (DELETE FROM endpoint_hours h USING several s WHERE h.endpoint_id = s.endpoint_id AND h.hour = s.hour \
     AND h.below_ms = s.below_ms RETURNING h.*) \
     INSERT INTO endpoint_hours (endpoint_id, hour, below_ms, succeeded, failed, last_success_at) \
     SELECT endpoint_id, hour, below_ms, sum(succeeded), sum(failed), max(last_success_at) FROM gone GROUP BY 1, 2, 3",
);

impl Ledger {
    /// The figures of these endpoints, by id.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn figures(
        &self,
        endpoints: &[String],
        span: FigureSpan,
        now: UnixMillis,
    ) -> Result<HashMap<String, EndpointFigures>> {
        let (parts, hours) = (span.parts(), span.hours());
        let ids = || endpoints.to_vec();
        let first = span.first_hour(now);
        let counts = self.database.fetch::<CountRow>(COUNTS, values![ids()]).await?;
        let rows = self.database.fetch::<HourRow>(HOURS, values![ids(), first, hours, parts]).await?;
        let mut figures: HashMap<_, _> =
            counts.into_iter().map(|row| (row.endpoint.clone(), EndpointFigures::of(&row, parts))).collect();
        for row in rows {
            if let Some(found) = figures.get_mut(&row.endpoint) {
                found.add(&row);
            }
        }
        Ok(figures)
    }

    /// Folds the rows that statements have added into one for each endpoint and hour. SQLite needs no folding.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn fold_figures(&self, now: UnixMillis) -> Result<()> {
        if !self.database.is_shared() {
            return Ok(());
        }
        let mut tx = self.database.begin_unchecked().await?;
        let locked = tx.fetch::<(bool,)>(FOLD_LOCK, Vec::new()).await?;
        if locked.iter().any(|(locked,)| *locked) {
            tx.execute(FOLD_COUNTS, Vec::new()).await?;
            tx.execute(FOLD_HOURS, values![(now.0 / HOUR).saturating_sub(1)]).await?;
        }
        tx.commit().await
    }

    /// Forgets the figures of hours that no page shows any more.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn purge_figures(&self, now: UnixMillis) -> Result<()> {
        const PURGE: Statement = Statement::same("DELETE FROM endpoint_hours WHERE hour < $1");
        self.database.execute_unchecked(PURGE, values![now.minus(KEPT).0 / HOUR]).await.map(|_| ())
    }
}

impl EndpointFigures {
    fn of(row: &CountRow, parts: usize) -> Self {
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        Self {
            pending: count(row.pending),
            failed: count(row.failed),
            last_success: row.last_success_at,
            attempts: AttemptFigures::default(),
            parts: vec![AttemptFigures::default(); parts],
        }
    }

    fn add(&mut self, row: &HourRow) {
        self.attempts.add(row);
        let part = usize::try_from(row.part).ok().and_then(|part| self.parts.get_mut(part));
        part.into_iter().for_each(|part| part.add(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(counts: &[(u64, u64)]) -> AttemptFigures {
        let mut figures = AttemptFigures::default();
        for (below_ms, count) in counts {
            let row = HourRow {
                endpoint: String::new(),
                part: 0,
                below_ms: *below_ms,
                succeeded: *count,
                failed: 0,
            };
            figures.add(&row);
        }
        figures
    }

    #[test]
    fn the_median_lies_in_the_doubling_that_holds_the_middle_answer() {
        let millis = |counts: &[(u64, u64)]| answered(counts).median().map(|median| median.as_millis());
        assert_eq!(millis(&[]), None);
        assert_eq!(millis(&[(0, 7)]), None, "attempts without an answer");
        assert_eq!(millis(&[(100, 10)]), Some(75), "between 50 and 100");
        assert_eq!(millis(&[(25, 10)]), Some(12));
        assert_eq!(millis(&[(100, 1), (200, 8), (400, 1)]), Some(150));
        assert_eq!(millis(&[(200, 5), (25, 5)]), Some(25));
        assert_eq!(millis(&[(6400, 1), (86_400_000, 9)]), Some(9244), "longer than the last bound");
    }
}
