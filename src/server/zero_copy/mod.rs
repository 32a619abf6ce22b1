//! Zero copy: the kernel sends files and the contents of pipes (`sendfile`, `splice`); their bytes never pass through here.

pub(super) mod pending;
pub(super) mod write_gate;
