//! The program from outside: requests over real sockets, with the world breaking on purpose.
//!
//! `tests/README.md` says which module a test belongs to and how to run it.
#![cfg(test)]
#![expect(unreachable_pub, reason = "the vocabulary in `support` reads like a library's")]
#![expect(clippy::cast_possible_truncation, reason = "test data is small, and made of truncated numbers")]

mod access_log; // one record for each request, and no signature in it
mod admin; // the private listener: health, metrics, minting, webhooks, against their description
mod admin_listener; // health and calls while other clients hold all its connections
mod architecture; // the table of rooms, the order of imports, and what files beside the code promise
mod broken_bucket; // an S3 bucket that breaks on the wire
mod cli; // the real program: commands, settings, signals, logs
mod compression_share; // short requests beside clients that have long transcripts compressed
mod connection_limits; // too many connections, in all or from one address
mod console; // the settings page: sign-in, forms, pages, isolation of workspaces
mod contract; // every promise about answers, row by row
mod deploy; // what the files of deploy/ say about the program
mod draining; // the end of the server waits for answers under way
mod erasure; // both assets of a call are gone for every replica
mod failing_store; // stores that fail before, in and after the first byte
mod fair_shares; // one client that takes all it can get, and the others
mod fast_path; // answers of the fast path equal those through hyper
mod http1; // bytes on a socket: framing, keep-alive, refusals, timeouts
mod http2; // HTTP/2 with prior knowledge
mod http2_attacks; // HTTP/2 floods, frame by frame
mod key_rotation; // keys change while requests run
mod lingering_close; // a client that still writes sees the answer, not a reset
mod local_files; // files of this machine: no back door, no short body
mod overwritten_files; // files that are written while they are sent
mod panics; // a task that panics ends alone, and is counted
mod proxies; // who the client is behind proxies
mod ranges; // ranges and conditions against reference models
mod refused_links; // a client without a good link learns nothing
mod resumed_bodies; // a body that breaks is resumed if the object is the same
mod root_folder; // a root folder that is mounted, replaced or missing
mod sender; // accepted calls arrive: schedule, shares, holds, history
mod signed_gets; // requests to S3 that the gateway signs itself
mod slow_clients; // slow clients are served, stalled ones are disconnected
mod smoke; // the shortest way through everything
mod store_compatibility; // stores that answer otherwise than S3
mod store_requests; // how many requests the store gets
mod support; // the vocabulary: a site, stores, receivers, clients
mod tls; // the gateway with a certificate
mod tracing; // spans, and what the collector and the store get
mod webhook_post; // one POST against slow, odd or hostile receivers
mod zero_copy_files; // sendfile: every way, the bytes are the file's
mod zero_copy_store; // splice: every way, the bytes are the object's
