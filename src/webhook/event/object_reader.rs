//! Reads the fields of a JSON object one by one; an error names the wrong field and the values that it accepts.

use std::fmt;

use serde_json::{Map, Value};

// The values that fields accept, as the end of the sentence "… takes …".
pub(super) const OBJECT: &str = "an object";
pub(super) const OBJECT_OR_NULL: &str = "an object or null";
pub(super) const TEXT: &str = "a text";
pub(super) const TEXT_OR_NULL: &str = "a text or null";
pub(super) const NUMBER_OF_SECONDS: &str =
    "a whole number of seconds from 0 to 9007199254740991, without a point";

/// How many characters of an unknown field's name an error shows.
const MAX_NAME_SHOWN: usize = 60;

/// Why a call was refused. Displays as one sentence that names the field; never contains a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    pointer: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    NotJson(String),
    Missing { takes: &'static str },
    Wrong { takes: &'static str },
    Unknown { known: &'static [&'static str] },
}

impl CallError {
    /// The field, as a JSON pointer (RFC 6901); empty for the whole document.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// A syntax error contains its position but none of the text.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Self { pointer: String::new(), problem: Problem::NotJson(error.to_string()) }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.pointer.is_empty() { "the event" } else { &self.pointer };
        match &self.problem {
            Problem::NotJson(error) => write!(f, "this is not JSON: {error}"),
            Problem::Missing { takes } => write!(f, "{field} is missing; it takes {takes}"),
            Problem::Wrong { takes } => write!(f, "{field} takes {takes}"),
            Problem::Unknown { known } => {
                write!(f, "{field} is not a field of an event; beside it there may be {}", known.join(", "))
            }
        }
    }
}

impl std::error::Error for CallError {}

/// A JSON object whose field names are all known.
pub(super) struct ObjectReader {
    pointer: &'static str,
    map: Map<String, Value>,
}

impl ObjectReader {
    /// Reads the object at `pointer`, which may have only the fields in `known`.
    pub(super) fn of(
        value: Value,
        pointer: &'static str,
        known: &'static [&'static str],
    ) -> Result<Self, CallError> {
        let Value::Object(map) = value else {
            return Err(CallError { pointer: pointer.to_owned(), problem: Problem::Wrong { takes: OBJECT } });
        };
        let fields = Self { pointer, map };
        match fields.map.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(fields.error(name, Problem::Unknown { known })),
            None => Ok(fields),
        }
    }

    /// Takes the field `name`, which is required and must be accepted by `read`.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        takes: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, CallError> {
        let value = self.map.remove(name).ok_or_else(|| self.error(name, Problem::Missing { takes }))?;
        read(value).ok_or_else(|| self.error(name, Problem::Wrong { takes }))
    }

    /// Takes the field `name`, which may be `null` or missing.
    pub(super) fn take_or_null<T>(
        &mut self,
        name: &str,
        takes: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, CallError> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.error(name, Problem::Wrong { takes })),
        }
    }

    fn error(&self, name: &str, problem: Problem) -> CallError {
        let shown: String = name.chars().take(MAX_NAME_SHOWN).collect();
        let token = shown.replace('~', "~0").replace('/', "~1");
        CallError { pointer: format!("{}/{}", self.pointer, token.escape_debug()), problem }
    }
}
