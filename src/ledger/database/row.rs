//! Reads rows of either engine. sqlx's derive macros would do it too, but they compile both drivers a second time, for the
//! compiler's own use.

use sqlx::error::BoxDynError;
use sqlx::{ColumnIndex, Decode, Row, Type};

/// Implements `FromRow` for rows of both engines: `from_row!(row => Name { field: column(row, "field")?, … })`.
macro_rules! from_row {
    ($row:ident => $name:ident { $($fields:tt)* }) => {
        from_row!(sqlx::sqlite::SqliteRow, $row => $name { $($fields)* });
        from_row!(sqlx::postgres::PgRow, $row => $name { $($fields)* });
    };
    ($engine:ty, $row:ident => $name:ident { $($fields:tt)* }) => {
        impl<'r> sqlx::FromRow<'r, $engine> for $name {
            fn from_row($row: &'r $engine) -> Result<Self, sqlx::Error> {
                Ok(Self { $($fields)* })
            }
        }
    };
}
pub(crate) use from_row;

/// Reads a column.
pub(crate) fn column<'r, T, R>(row: &'r R, name: &str) -> Result<T, sqlx::Error>
where
    R: Row,
    T: Decode<'r, R::Database> + Type<R::Database>,
    for<'a> &'a str: ColumnIndex<R>,
{
    row.try_get(name)
}

/// Reads a column as `S`, and converts it into a field's type.
pub(crate) fn converted<'r, S, T, R>(row: &'r R, name: &str) -> Result<T, sqlx::Error>
where
    R: Row,
    S: Decode<'r, R::Database> + Type<R::Database>,
    T: TryFrom<S, Error: Into<BoxDynError>>,
    for<'a> &'a str: ColumnIndex<R>,
{
    let stored: S = row.try_get(name)?;
    let source =
        |error: T::Error| sqlx::Error::ColumnDecode { index: format!("{name:?}"), source: error.into() };
    T::try_from(stored).map_err(source)
}
