//! The program from outside: requests over real sockets, with the world breaking on purpose.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test ends where its world is not as it must be; helpers of tests are tests"
)]

mod contract;
mod http2;
mod ranges;
mod smoke;
mod support;
mod wire;
