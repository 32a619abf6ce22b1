//! Defines statements in both SQL dialects, the values of their placeholders, and their rows.

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::column::int;
use crate::clock::{UnixMillis, UnixSeconds};

/// A statement in the dialects of both engines. Placeholders are `$1`, `$2` …
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl Statement {
    /// A statement that both engines accept.
    pub(crate) const fn same(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// Builds a statement over the objects of the JSON array `$1`, as rows `r` inserted between its two halves.
macro_rules! over_json_rows {
    ($before:expr, [$first:ident $first_type:ident $(, $name:ident $type:ident)* $(,)?], $after:expr $(,)?) => {
        $crate::ledger::database::statement::Statement {
            sqlite: concat!(
                $before,
                "(SELECT value->>'", stringify!($first), "' AS ", stringify!($first),
                $(", value->>'", stringify!($name), "' AS ", stringify!($name),)*
                " FROM json_each($1)) AS r",
                $after
            ),
            postgres: concat!(
                $before,
                "json_to_recordset($1::json) AS r(", stringify!($first), " ", stringify!($first_type),
                $(", ", stringify!($name), " ", stringify!($type),)*
                ")",
                $after
            ),
        }
    };
}
pub(crate) use over_json_rows;

/// Builds a statement with a condition between its two halves: the column is one of the strings in the JSON array `$1`.
macro_rules! over_json_ids {
    ($before:expr, $after:expr $(,)?) => {
        $crate::ledger::database::statement::Statement {
            sqlite: concat!($before, " IN (SELECT value FROM json_each($1))", $after),
            postgres: concat!($before, " = ANY (ARRAY(SELECT json_array_elements_text($1::json)))", $after),
        }
    };
}
pub(crate) use over_json_ids;

/// A value bound to a placeholder.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Bool(bool),
}

macro_rules! value_from {
    ($($type:ty => |$it:ident| $value:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($it: $type) -> Self {
                $value
            }
        }
    )*};
}

value_from! {
    String => |it| Self::Text(Some(it));
    &String => |it| Self::Text(Some(it.clone()));
    &str => |it| Self::Text(Some(it.to_owned()));
    Option<String> => |it| Self::Text(it);
    &Option<String> => |it| Self::Text(it.clone());
    i64 => |it| Self::Int(Some(it));
    u32 => |it| Self::Int(Some(it.into()));
    u64 => |it| Self::Int(Some(int(it)));
    usize => |it| Self::Int(Some(int(it)));
    UnixMillis => |it| Self::Int(Some(int(it.0)));
    UnixSeconds => |it| Self::Int(Some(int(it.0)));
    Option<u32> => |it| Self::Int(it.map(i64::from));
    Option<UnixMillis> => |it| Self::Int(it.map(|at| int(at.0)));
    Vec<u8> => |it| Self::Bytes(Some(it));
    Option<Vec<u8>> => |it| Self::Bytes(it);
    bool => |it| Self::Bool(it);
}

/// The values of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::ledger::database::statement::Value::from($value)),*] };
}
pub(crate) use values;

/// A query with its values bound.
macro_rules! bind {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                $crate::ledger::database::statement::Value::Text(text) => query.bind(text),
                $crate::ledger::database::statement::Value::Int(number) => query.bind(number),
                $crate::ledger::database::statement::Value::Bytes(bytes) => query.bind(bytes),
                $crate::ledger::database::statement::Value::Bool(flag) => query.bind(flag),
            };
        }
        query
    }};
}
pub(super) use bind;

/// A row that can be read from both engines.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}
