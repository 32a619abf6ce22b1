//! Deadlines: the server disconnects a client that sends, requests or reads too little for too long.
//!
//! A connection without a request in flight is in a [`phase`](timeouts::Phase). An idle connection has only the
//! [clock](timeouts::PhaseClock) of its phase, and the idle connections of a thread share one timer. A connection with
//! a task reports its [`activity`], and a [`watchdog`] in the same task compares this with the deadlines.

pub(super) mod activity;
pub(super) mod hyper_timer;
pub(super) mod stall_flag;
pub(super) mod timeouts;
pub(super) mod watchdog;
