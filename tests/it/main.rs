//! The program from outside: requests over real sockets, with the world breaking on purpose.
#![cfg(test)]
#![expect(unreachable_pub, reason = "the vocabulary in `support` reads like a library's")]
#![expect(clippy::cast_possible_truncation, reason = "test data is small, and made of truncated numbers")]

mod admin;
mod breaking;
mod cli;
mod contract;
mod deploy;
mod erasing;
mod house;
mod http2;
mod local_files;
mod on_the_wire;
mod posting;
mod ranges;
mod records;
mod refusals;
mod resuming;
mod rotation;
mod sending;
mod smoke;
mod store_requests;
mod support;
mod wire;
