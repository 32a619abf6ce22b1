//! Holds one value for each lane of an endpoint.

use crate::ledger::Lane;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct PerLane<T> {
    first: T,
    retry: T,
    test: T,
    resend: T,
}

impl<T: Copy> PerLane<T> {
    pub(super) fn get(&self, lane: Lane) -> T {
        match lane {
            Lane::First => self.first,
            Lane::Retry => self.retry,
            Lane::Test => self.test,
            Lane::Resend => self.resend,
        }
    }

    pub(super) fn get_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::First => &mut self.first,
            Lane::Retry => &mut self.retry,
            Lane::Test => &mut self.test,
            Lane::Resend => &mut self.resend,
        }
    }
}

impl PerLane<usize> {
    /// The sum of the lanes that count against an endpoint's window: all but test events, which have separate slots.
    pub(super) fn in_window(&self) -> usize {
        self.first + self.retry + self.resend
    }
}
