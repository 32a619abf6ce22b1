//! The JSON of a keyring file, before its meaning. Its texts may be keys: they are wiped, and no error quotes one.

use std::fmt;

use serde_core::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// A value of the file.
pub(super) enum Json {
    Null,
    Number(u64),
    Text(Zeroizing<String>),
    List(Vec<Json>),
    Object(Vec<(Zeroizing<String>, Json)>),
    /// What no field of the file takes: a boolean, a negative number, a number with a fraction.
    Other,
}

/// Why a text is not JSON, or not the JSON of a keyring: a sentence with a line and a column.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.is_data() {
            // The only error of the visitor below.
            true => format!("a field stands twice at line {line}, column {column}"),
            // serde_json's own sentence is passed on nowhere: it may quote a value.
            false => format!("line {line}, column {column} is not JSON as `webhook-assets keys` writes it"),
        }
    })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut fields: Vec<(Zeroizing<String>, Json)> = Vec::new();
        while let Some(name) = object.next_key::<Json>()? {
            let Json::Text(name) = name else { return Err(A::Error::custom("a name is a text")) };
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("a field stands twice"));
            }
            fields.push((name, object.next_value()?));
        }
        Ok(Json::Object(fields))
    }
}
