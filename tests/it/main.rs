//! The program from outside: requests over real sockets, with the world breaking on purpose.
#![cfg(test)]
#![expect(unreachable_pub, reason = "the vocabulary in `support` reads like a library's")]
#![expect(clippy::cast_possible_truncation, reason = "test data is small, and made of truncated numbers")]

mod admin;
mod behind_a_proxy;
mod breaking;
mod cli;
mod console;
mod contract;
mod deploy;
mod draining;
mod erasing;
mod express;
mod floods;
mod house;
mod http2;
mod local_files;
mod local_roots;
mod neighbours;
mod odd_stores;
mod on_the_wire;
mod overwritten_files;
mod panics;
mod posting;
mod private_listener;
mod ranges;
mod records;
mod refusals;
mod refused_bodies;
mod relayed;
mod resuming;
mod rooms_full;
mod rotation;
mod sending;
mod sent_files;
mod shares;
mod slow_clients;
mod smoke;
mod store_requests;
mod support;
mod tls;
mod tracing;
mod wire;
