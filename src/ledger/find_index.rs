//! The values by which a call is found beside its ids: the end of its id, its phone numbers and its e-mail addresses. They
//! stand in columns of the event, so whatever deletes the event deletes them from their indexes too.

use super::database::{Value, values, without_nul};
use crate::webhook::CompletedCall;

/// The longest phone number, in digits, and the longest e-mail address in bytes that are indexed. PostgreSQL refuses a row
/// whose index entry is too large.
const MAX_DIGITS: usize = 32;
const MAX_EMAIL: usize = 320;

/// The indexed values of a call; none for a test event.
#[derive(Debug, Clone, Default)]
pub(super) struct SearchValues {
    call_id_reversed: Option<String>,
    from_number: String,
    to_number: String,
    user_email: Option<String>,
    prospect_email: Option<String>,
}

impl SearchValues {
    pub(super) fn of(call_id: &str, call: &CompletedCall) -> Self {
        let [from, to] = call.numbers();
        let [user, prospect] = call.emails();
        Self {
            call_id_reversed: Some(reversed(call_id)),
            from_number: digits_reversed(from),
            to_number: digits_reversed(to),
            user_email: user.and_then(email),
            prospect_email: prospect.and_then(email),
        }
    }

    /// The values in the order of the columns.
    pub(super) fn columns(&self) -> Vec<Value> {
        values![
            &self.call_id_reversed,
            &self.from_number,
            &self.to_number,
            &self.user_email,
            &self.prospect_email,
        ]
    }
}

/// The characters of an id, the last one first.
pub(super) fn reversed(id: &str) -> String {
    id.chars().rev().collect()
}

/// The digits of a phone number without leading zeros, the last one first: people write +33 6 and 06 for the same number,
/// and the last digits are the same.
pub(super) fn digits_reversed(number: &str) -> String {
    let digits: String = number.chars().rev().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    if digits.len() <= MAX_DIGITS { digits.to_owned() } else { String::new() }
}

/// An e-mail address in lower case; `None` if it is empty or too long to be one.
pub(super) fn email(text: &str) -> Option<String> {
    let email = without_nul(text.trim()).to_lowercase();
    (1..=MAX_EMAIL).contains(&email.len()).then_some(email)
}
