//! The program from outside: requests over real sockets, with the world breaking on purpose.
#![cfg(test)]
#![expect(unreachable_pub, reason = "the vocabulary in `support` reads like a library's")]

mod cli;
mod contract;
mod house;
mod http2;
mod ranges;
mod smoke;
mod support;
mod wire;
