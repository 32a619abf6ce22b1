//! The program from outside: requests over real sockets, with the world breaking on purpose.
#![cfg(test)]
#![expect(unreachable_pub, reason = "the vocabulary in `support` reads like a library's")]

mod cli;
mod house;
mod smoke;
mod support;
