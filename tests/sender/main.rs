//! The sender as operators run it: the real program, killed, cut off from its database, out of disk, while calls come
//! in. Every accepted call has to arrive, or be recorded as failed.
//!
//! On SQLite; on PostgreSQL too when `tests/run sender` starts one.
#![cfg(test)]
#![expect(unreachable_pub, reason = "the vocabulary reads like a library's")]

mod alerts;
mod console;
mod cut_off;
mod disk;
mod drill;
mod failover;
mod grown_tables;
mod killed;
mod paused;
mod pooled;
mod program;
mod receivers;
mod replicas;
