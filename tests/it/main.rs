//! The program from outside: requests over real sockets, with the world breaking on purpose.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test says so by failing"
)]

mod admin;
mod breaking;
mod local_files;
mod records;
mod refusals;
mod rotation;
mod smoke;
mod support;
