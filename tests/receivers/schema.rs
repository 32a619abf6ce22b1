//! docs/call.completed.schema.json: bodies of random calls fit it. (`sender::described` of tests/it compares it with what is
//! sent.)

use serde_json::Value;

use crate::calls::BODIES;

#[test]
fn every_body_fits_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/call.completed.schema.json")).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    for (body, _) in BODIES.iter() {
        let body: Value = serde_json::from_slice(body).unwrap();
        let errors: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {body}");
    }
}
