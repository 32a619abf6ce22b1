//! Provides one interface to SQLite and PostgreSQL: statements in two dialects, values, rows, transactions.

mod backend;
mod column;
mod eviction;
mod files;
mod migrate;
mod options;
mod postgres;
mod shared;
mod sqlite;
pub(super) mod statement;
mod transaction;
mod url;

pub(super) use backend::Backend;
pub(super) use column::{Int, int, without_nul};
pub(super) use files::{exposed, prepare, with_extension};
pub(super) use options::{OpenMode, WRITERS};
pub(super) use shared::Database;
pub(super) use statement::{Statement, over_json_ids, over_json_rows, values};
pub(super) use transaction::Tx;
pub use url::{DatabaseUrl, DatabaseUrlError};
