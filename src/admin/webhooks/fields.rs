//! Reads the fields of a request's JSON one by one: refuses unknown fields, and reports the JSON pointer of an invalid
//! field.

use serde_json::{Map, Value};

use super::api::NAME;
use crate::admin::response::invalid;
use crate::clock::UnixMillis;
use crate::ledger::is_name;
use crate::problem::Problem;
use crate::webhook::{TIME_TAKES, parse_time};

/// How many characters of an unknown field's name a response quotes.
const MAX_QUOTED: usize = 60;

/// The fields of an object, and the object's JSON pointer.
pub(super) struct Fields {
    map: Map<String, Value>,
    at: String,
}

impl Fields {
    /// Reads a body, which may have only the `known` fields.
    pub(super) fn of(body: Value, known: &[&str]) -> Result<Self, Problem> {
        Self::at(body, String::new(), known)
    }

    fn at(body: Value, at: String, known: &[&str]) -> Result<Self, Problem> {
        let Value::Object(map) = body else {
            let what = if at.is_empty() { "the body" } else { &at };
            return Err(invalid(&at, &format!("{what} takes an object with {}", known.join(", "))));
        };
        let fields = Self { map, at };
        match fields.map.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(fields),
            Some(name) => {
                let pointer = fields.pointer(name);
                let why = format!("{pointer} is no field of this request; it has {}", known.join(", "));
                Err(invalid(&pointer, &why))
            }
        }
    }

    /// The fields of an optional object; without any if it is `null`.
    pub(super) fn object(&mut self, name: &str, known: &[&str]) -> Result<Option<Self>, Problem> {
        let at = self.pointer(name);
        match self.map.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(Self { map: Map::new(), at })),
            Some(value) => Self::at(value, at, known).map(Some),
        }
    }

    /// A required field.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        takes: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, Problem> {
        self.optional(name, takes, read)?.ok_or_else(|| {
            let pointer = self.pointer(name);
            invalid(&pointer, &format!("{pointer} is missing; it takes {takes}"))
        })
    }

    /// An optional field.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        takes: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.map.remove(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| {
            let pointer = self.pointer(name);
            invalid(&pointer, &format!("{pointer} takes {takes}"))
        })
    }

    /// The name of a workspace or a call.
    pub(super) fn name(&mut self, name: &str) -> Result<String, Problem> {
        self.required(name, NAME, |value| value.as_str().filter(|text| is_name(text)).map(str::to_owned))
    }

    /// A required time.
    pub(super) fn time(&mut self, name: &str) -> Result<UnixMillis, Problem> {
        self.required(name, TIME_TAKES, |value| parse_time(value.as_str()?))
    }

    /// The remaining fields, as an object.
    pub(super) fn rest(self) -> Value {
        Value::Object(self.map)
    }

    fn pointer(&self, name: &str) -> String {
        let shown: String = name.chars().take(MAX_QUOTED).collect();
        format!("{}/{}", self.at, shown.replace('~', "~0").replace('/', "~1").escape_debug())
    }
}

/// Accepts a whole number within bounds, also as `60.0`: JSON has one number type.
pub(super) fn whole(value: &Value, within: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    let digits = text.strip_suffix(".0").unwrap_or(&text);
    digits.parse().ok().filter(|number| within.contains(number))
}
