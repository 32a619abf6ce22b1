//! What receivers do with our events: the help page's own code, other languages, the published Standard Webhooks
//! libraries, and real programs (Express, n8n).
//!
//! An interpreter or library that is missing is said on standard error, and its test passes. `bash tests/run receivers`
//! installs the libraries below target/receivers and makes what is missing a failure; `bash tests/run receivers express`
//! and `bash tests/run receivers n8n` try the real programs.
#![cfg(test)]

mod calls;
mod interpreter;
mod page;
mod platforms;
mod programs;
mod signatures;
