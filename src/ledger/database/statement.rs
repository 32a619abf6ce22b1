//! Defines statements in both SQL dialects, the values of their placeholders, and their rows.

use serde::Serialize;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, FromRow};

use super::column::int;
use crate::clock::{UnixMillis, UnixSeconds};
use crate::ledger::error::{LedgerError, Result};

/// A statement in the dialects of both engines. Placeholders are `$1`, `$2` …
///
/// SQLite has no writing WITH, so what is one statement in PostgreSQL may be several there, with semicolons between them, the same
/// values, and rows from the last one. Its driver hands them to its thread at once (row *paced* of the sender's benchmark).
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

/// The rows of [`Value::Rows`] as a table expression of one engine. Columns are numbered from 1, in the order of the
/// values; in SQLite `key` numbers the rows from 0. SQLite reads them from JSON. PostgreSQL reads an array for each
/// column: its planner takes JSON for a hundred rows, and a long text costs it less than the same text in JSON (rows
/// *hundred* and *large* of the sender's benchmark). It unnests the first array alone and takes from the others by place:
/// each array that is unnested adds a table to the statement (row *paced*).
macro_rules! rows {
    (sqlite: [$first:literal $first_name:ident $first_type:ident $(, $number:literal $name:ident $type:ident)* $(,)?]) => {
        concat!(
            "(SELECT value->>(", $first, "-1) AS ", stringify!($first_name),
            $(", value->>(", $number, "-1) AS ", stringify!($name),)*
            ", key FROM json_each($1)) AS r"
        )
    };
    (postgres: [$first:literal $first_name:ident $first_type:ident $(, $number:literal $name:ident $type:ident)* $(,)?]) => {
        concat!(
            "(SELECT u.first AS ", stringify!($first_name),
            $(", ($", $number, "::", stringify!($type), "[])[u.place] AS ", stringify!($name),)*
            " FROM unnest($", $first, "::", stringify!($first_type), "[]) WITH ORDINALITY AS u(first, place)) AS r"
        )
    };
}
pub(crate) use rows;

/// Builds a statement with a condition between its two halves: the column is one of the strings of `$1`, a
/// [`Value::Texts`].
macro_rules! over_ids {
    ($before:expr, $after:expr $(,)?) => {
        $crate::ledger::database::statement::Statement {
            sqlite: concat!($before, " IN (SELECT value FROM json_each($1))", $after),
            postgres: concat!($before, " = ANY ($1::text[])", $after),
        }
    };
}
pub(crate) use over_ids;

/// A value bound to a placeholder.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Bool(bool),
    /// For [`over_ids`].
    Texts(Vec<String>),
    /// For [`rows`]: at least one row, with the same columns in each.
    Rows(Vec<Vec<Value>>),
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
    Option<i64> => |it| Self::Int(it);
    Option<UnixSeconds> => |it| Self::Int(it.map(|at| int(at.0)));
    Option<UnixMillis> => |it| Self::Int(it.map(|at| int(at.0)));
    Vec<u8> => |it| Self::Bytes(Some(it));
    Option<Vec<u8>> => |it| Self::Bytes(it);
    bool => |it| Self::Bool(it);
    Vec<String> => |it| Self::Texts(it);
    Vec<Vec<Value>> => |it| Self::Rows(it);
}

/// The values of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::ledger::database::statement::Value::from($value)),*] };
}
pub(crate) use values;

/// The values as SQLite binds them.
pub(super) fn sqlite_arguments(values: Vec<Value>) -> Result<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    let mut add = |value| match value {
        Value::Text(text) => arguments.add(text),
        Value::Int(number) => arguments.add(number),
        Value::Bytes(bytes) => arguments.add(bytes),
        Value::Bool(flag) => arguments.add(flag),
        Value::Texts(texts) => arguments.add(serde_json::to_string(&texts)?),
        Value::Rows(rows) => arguments.add(serde_json::to_string(&rows)?),
    };
    values.into_iter().try_for_each(&mut add).map_err(not_encoded)?;
    Ok(arguments)
}

/// The values as PostgreSQL binds them.
pub(super) fn postgres_arguments(values: Vec<Value>) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    let mut add = |value| match value {
        Value::Text(text) => arguments.add(text),
        Value::Int(number) => arguments.add(number),
        Value::Bytes(bytes) => arguments.add(bytes),
        Value::Bool(flag) => arguments.add(flag),
        Value::Texts(texts) => arguments.add(texts),
        Value::Rows(rows) => add_columns(&mut arguments, rows),
    };
    values.into_iter().try_for_each(&mut add).map_err(not_encoded)?;
    Ok(arguments)
}

fn not_encoded(error: BoxDynError) -> LedgerError {
    LedgerError::from(&sqlx::Error::Encode(error))
}

/// Binds an array for each column.
fn add_columns(arguments: &mut PgArguments, rows: Vec<Vec<Value>>) -> Result<(), BoxDynError> {
    let mut rows: Vec<_> = rows.into_iter().map(Vec::into_iter).collect();
    let width = rows.first().map_or(0, ExactSizeIterator::len);
    for _ in 0..width {
        let column: Vec<Value> = rows.iter_mut().filter_map(Iterator::next).collect();
        match column.first() {
            Some(Value::Int(_)) => arguments.add(column.into_iter().map(Value::int).collect::<Vec<_>>())?,
            Some(Value::Bool(_)) => arguments.add(column.into_iter().map(Value::bool).collect::<Vec<_>>())?,
            _ => arguments.add(column.into_iter().map(Value::text).collect::<Vec<_>>())?,
        }
    }
    Ok(())
}

impl Value {
    fn text(self) -> Option<String> {
        if let Self::Text(text) = self { text } else { None }
    }

    fn int(self) -> Option<i64> {
        if let Self::Int(number) = self { number } else { None }
    }

    fn bool(self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(flag) } else { None }
    }
}

/// A row that can be read from both engines.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}
