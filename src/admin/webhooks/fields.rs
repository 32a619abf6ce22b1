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

pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body, which may have only the `known` fields.
    pub(super) fn of(body: Value, known: &[&str]) -> Result<Self, Problem> {
        let Value::Object(map) = body else {
            return Err(invalid("", &format!("the body takes an object with {}", known.join(", "))));
        };
        let fields = Self(map);
        match fields.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(fields),
            Some(name) => {
                let pointer = pointer(name);
                let why = format!("{pointer} is no field of this request; it has {}", known.join(", "));
                Err(invalid(&pointer, &why))
            }
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
            let pointer = pointer(name);
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
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| {
            let pointer = pointer(name);
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
        Value::Object(self.0)
    }
}

/// Accepts a whole number within bounds, also as `60.0`: JSON has one number type.
pub(super) fn whole(value: &Value, within: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    let digits = text.strip_suffix(".0").unwrap_or(&text);
    digits.parse().ok().filter(|number| within.contains(number))
}

fn pointer(name: &str) -> String {
    let shown: String = name.chars().take(MAX_QUOTED).collect();
    format!("/{}", shown.replace('~', "~0").replace('/', "~1").escape_debug())
}
