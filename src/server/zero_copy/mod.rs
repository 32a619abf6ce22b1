//! Zero copy: the kernel sends files (`sendfile`) and the contents of pipes (`splice`) to the socket; their bytes never pass
//! through this process.
//!
//! hyper frames bodies that are bytes. So a body yields a placeholder: as many bytes as the piece has, at addresses that
//! nothing else uses and that are never read. hyper passes on the addresses, and the socket, which knows them, has the kernel
//! send the piece instead. One piece is pending on a connection at a time. If a placeholder is not found where it must be,
//! or found where it must not, the connection ends: a placeholder is never sent.

pub(super) mod pending;
pub(super) mod write_gate;
