//! Zero copy: the kernel sends files (`sendfile`) and the contents of pipes (`splice`) to the socket. Their bytes never
//! pass through this process.
//!
//! hyper frames bodies made of bytes, so a body yields a placeholder: a slice as long as the piece, in memory that has
//! no other use and is never read. hyper passes the slice on, and the socket recognizes its address and lets the kernel
//! send the piece instead. A connection has at most one pending piece. If a placeholder is missing where it must be, or
//! found where it must not be, the connection ends: a placeholder is never sent.

pub(super) mod pending;
pub(super) mod write_gate;
