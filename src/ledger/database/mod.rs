//! Provides one interface to SQLite and PostgreSQL: statements in two dialects, values, rows, transactions.

mod backend;
mod column;
mod eviction;
mod files;
mod migrate;
mod options;
mod postgres;
mod row;
mod shared;
mod sqlite;
pub(super) mod statement;
mod transaction;
mod url;
mod warm;

pub(super) use backend::Backend;
pub(super) use column::{Int, int, without_nul};
pub(super) use files::{exposed, prepare, with_extension};
pub(super) use options::{OpenMode, WRITERS};
pub(super) use row::{column, converted, from_row};
pub(super) use shared::Database;
pub(super) use statement::{Statement, Value, over_ids, rows, values};
pub(super) use transaction::Tx;
pub use url::{DatabaseUrl, DatabaseUrlError};
