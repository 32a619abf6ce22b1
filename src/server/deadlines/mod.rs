//! Deadlines: a client that sends, asks for or reads too little for too long is disconnected.
//!
//! A connection waits in a [`phase`](timeouts::Phase). An idle connection has only the [clock](timeouts::PhaseClock) of its
//! phase, and all of a thread share one timer; a connection with a task reports its [`activity`], which a [`watchdog`] in
//! that task compares with the deadlines.

pub(super) mod activity;
pub(super) mod hyper_timer;
pub(super) mod stall_flag;
pub(super) mod timeouts;
pub(super) mod watchdog;
