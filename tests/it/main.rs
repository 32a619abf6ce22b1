//! The program from outside: requests over real sockets, with the world breaking on purpose.

mod smoke;
mod support;
