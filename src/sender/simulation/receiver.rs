//! Models a receiver and its outages.

/// How long an attempt hangs before it fails, in milliseconds.
pub(super) const HANG: u64 = 10_000;

/// A receiver: when it fails, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct Receiver {
    pub(super) outages: Vec<(u64, u64)>,
    pub(super) latency: u64,
    pub(super) hangs: bool,
    /// When it first accepted an event after its last outage, or a person repaired it.
    pub(super) recovered: Option<u64>,
}

impl Receiver {
    pub(super) fn answers(&self, at: u64) -> (u64, bool) {
        match self.outages.iter().any(|(from, to)| (*from..*to).contains(&at)) {
            true if self.hangs => (HANG, false),
            true => (5, false),
            false => (self.latency, true),
        }
    }

    /// Since when the receiver works; `None` if it does not.
    pub(super) fn well_since(&self, at: u64) -> Option<u64> {
        let begun = self.outages.iter().filter(|(from, _)| *from <= at);
        let last = begun.map(|(_, to)| *to).max().unwrap_or_default();
        (last <= at).then_some(last)
    }

    /// When it first accepted an event after its last outage, or a person repaired it.
    pub(super) fn recovered(&self, at: u64) -> Option<u64> {
        self.recovered.filter(|recovered| self.well_since(at).is_some_and(|since| since <= *recovered))
    }

    /// How long the receiver has failed by then, if no attempt can have succeeded in between.
    pub(super) fn outage_before(&self, at: u64) -> Option<u64> {
        let begun: Vec<_> = self.outages.iter().filter(|(from, _)| *from <= at).collect();
        Some(begun.iter().map(|(_, to)| *to).max()? - begun.iter().map(|(from, _)| *from).min()?)
    }
}
