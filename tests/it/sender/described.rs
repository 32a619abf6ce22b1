//! What the sender sends is what `docs/openapi.json` and `docs/call.completed.schema.json` describe.

use std::collections::BTreeSet;

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use jsonschema::Validator;
use serde_json::{Value, json};
use webhook_assets::admin::OPENAPI;
use webhook_assets::ledger::{DeliveryState, NewEvent};
use webhook_assets::webhook::CompletedCall;

use super::Sending;
use crate::support::receiver::{Received, Receiver};

const SCHEMA: &str = include_str!("../../../docs/call.completed.schema.json");

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The schema, which here allows no field that it does not name.
fn closed(mut schema: Value) -> Value {
    if let Value::Object(keywords) = &mut schema {
        if keywords.contains_key("properties") {
            keywords.insert("additionalProperties".into(), false.into());
        }
        for value in keywords.values_mut() {
            *value = closed(value.take());
        }
    }
    schema
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

fn least() -> CompletedCall {
    let call = json!({
        "call": {"ended_at": "2025-12-17T15:30:00+01:00", "status": "no-answer", "direction": "incoming",
                 "duration_seconds": 0, "from_number": "", "to_number": "+33600000000"},
        "user": {"name": "", "email": ""},
    });
    CompletedCall::from_value(call).unwrap()
}

/// A call with everything, its resend, a call with as little as possible, and a test event.
async fn one_of_each_kind() -> Vec<Received> {
    let sending = Sending::to(Receiver::willing().await).await;
    let accepted = sending.call("call-1").await;
    sending.until(&accepted.deliveries[0], DeliveryState::Delivered).await;
    sending.sender.resend("acme", &accepted.deliveries[0]).await.unwrap();
    sending.until(&accepted.deliveries[0], DeliveryState::Delivered).await;
    let event = NewEvent::call("acme", "appel-é", &least(), None, None, sending.sender.now()).unwrap();
    sending.sender.accept(event).await.unwrap().unwrap();
    sending.sender.test(&sending.endpoint).await.unwrap();
    sending.receiver.wait_for(4).await
}

/// The fields of an object and of the objects in it, as `call.id`.
fn fields_of(object: &Value, within: &str) -> BTreeSet<String> {
    let fields = object.as_object().unwrap().iter();
    fields
        .flat_map(|(name, value)| match value {
            Value::Object(_) => fields_of(value, &format!("{within}{name}.")),
            _ => BTreeSet::from([format!("{within}{name}")]),
        })
        .collect()
}

/// As [`fields_of`] a body with all of them.
fn fields_in(schema: &Value, within: &str) -> BTreeSet<String> {
    let fields = schema["properties"].as_object().unwrap().iter();
    fields
        .flat_map(|(name, field)| match field["properties"].is_object() {
            true => fields_in(field, &format!("{within}{name}.")),
            false => BTreeSet::from([format!("{within}{name}")]),
        })
        .collect()
}

#[tokio::test]
async fn every_body_that_is_sent_fits_the_schema_which_names_no_other_field() {
    let schema = json(SCHEMA);
    let strict = validator(&closed(schema.clone()));
    let mut seen = BTreeSet::new();
    for webhook in one_of_each_kind().await {
        let body = webhook.json();
        let errors: Vec<_> = strict.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {body}");
        seen.append(&mut fields_of(&body, ""));
        without_a_required_field(&validator(&schema), &body);
    }
    // An object that is null in a body has no fields there.
    seen.retain(|field| !["prospect", "list"].contains(&field.as_str()));
    assert_eq!(seen, fields_in(&schema, ""));
}

/// The schema demands every field but two.
fn without_a_required_field(validator: &Validator, body: &Value) {
    for object in ["", "/call", "/user", "/prospect", "/list"] {
        let names: Vec<_> =
            body.pointer(object).unwrap().as_object().into_iter().flat_map(|fields| fields.keys()).collect();
        for name in names.into_iter().filter(|name| !["test", "resend"].contains(&name.as_str())) {
            let mut less = body.clone();
            less.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(name);
            assert!(!validator.is_valid(&less), "{object}/{name}");
        }
    }
}

#[tokio::test]
async fn every_header_field_that_is_sent_is_described_and_no_other() {
    let description = json(OPENAPI);
    let operation = &description["webhooks"]["call.completed"]["post"];
    let described = operation["parameters"].as_array().unwrap();
    let name_of = |field: &Value| field["name"].as_str().unwrap().to_ascii_lowercase();
    let mut seen = BTreeSet::new();
    for webhook in one_of_each_kind().await {
        assert_eq!(webhook.method, "POST");
        assert!(operation["requestBody"]["content"][webhook.header("content-type")].is_object());
        for field in described {
            match webhook.headers.get(name_of(field)) {
                Some(value) => {
                    let value = json!(value.to_str().unwrap());
                    assert!(validator(&field["schema"]).is_valid(&value), "{field}: {value}");
                }
                None => assert_eq!(field["required"], false, "{field}"),
            }
        }
        seen.extend(webhook.headers.keys().map(ToString::to_string));
    }
    // OpenAPI describes these by other means, or leaves them to HTTP.
    let of_http = [ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST].map(|name| name.to_string());
    seen.retain(|name| !of_http.contains(name));
    assert_eq!(seen, described.iter().map(name_of).collect());
}

/// The vectors' bodies are those of the sender: tests/receivers compares them.
#[test]
fn the_examples_of_the_description_are_test_vectors() {
    let vectors = json(include_str!("../../../fixtures/vectors/webhook_signature.json"));
    let description = json(OPENAPI);
    let body =
        &description["webhooks"]["call.completed"]["post"]["requestBody"]["content"]["application/json"];
    let examples = body["examples"].as_object().unwrap();
    assert_eq!(examples.keys().collect::<Vec<_>>(), ["call", "test", "resend"]);
    for example in examples.values() {
        let vectors = vectors["vectors"].as_array().unwrap();
        let vector = vectors.iter().find(|vector| vector["name"] == example["summary"]).unwrap();
        assert_eq!(json(vector["body"].as_str().unwrap()), example["value"]);
    }
}

#[test]
fn the_schema_in_its_file_is_that_of_the_description() {
    let mut schema = json(SCHEMA);
    let keywords = schema.as_object_mut().unwrap();
    assert_eq!(keywords.shift_remove("$schema").unwrap(), "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(keywords.shift_remove("title").unwrap(), "call.completed");
    assert_eq!(schema, json(OPENAPI)["components"]["schemas"]["CallCompleted"]);
}
