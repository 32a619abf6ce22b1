//! What readers of the documents do: their commands and snippets, and as receivers the help page's own code, other
//! languages, the published Standard Webhooks libraries, and real programs (Express, n8n).
//!
//! A test whose interpreter, compiler or library is missing says so on standard error and passes. `bash tests/run receivers`
//! installs them and makes a missing one a failure; `bash tests/run receivers express` and `bash tests/run receivers n8n` test
//! the real programs.
#![cfg(test)]

mod calls;
mod documents;
mod examples;
mod interpreter;
mod page;
mod platforms;
mod programs;
mod schema;
mod servers;
mod signatures;
mod snippets;
mod vectors;
mod whole_receivers;
