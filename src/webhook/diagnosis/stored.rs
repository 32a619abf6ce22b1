//! The facts of a stored diagnosis.

use super::facts::Facts;
use super::{quote, status};
use crate::webhook::post::ReceiverResponse;

impl<'d> Facts<'d> {
    /// The facts of a stored attempt. Only a diagnosis of a status quotes the excerpt.
    #[must_use]
    pub fn of_stored(code: &'d str, status: Option<u16>, excerpt: Option<&str>) -> Self {
        let quoted = excerpt.filter(|_| status::is_code_of_status(code));
        let quotation = quoted.and_then(|excerpt| {
            quote::message(&ReceiverResponse { excerpt: excerpt.to_owned(), ..ReceiverResponse::default() })
        });
        Self { code, status, quotation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_attempt_quotes_the_receiver_where_its_status_decided() {
        let excerpt = Some(r#"{"message":"bad field"}"#);
        let rejected = Facts::of_stored("rejected", Some(400), excerpt);
        assert_eq!((rejected.status, rejected.quotation.as_deref()), (Some(400), Some("bad field")));
        assert_eq!(Facts::of_stored("delivered", Some(200), excerpt).quotation, None);
        assert_eq!(Facts::of_stored("n8n_inactive", Some(404), excerpt).quotation, None);
        assert_eq!(Facts::of_stored("refused", None, None).quotation, None);
    }
}
