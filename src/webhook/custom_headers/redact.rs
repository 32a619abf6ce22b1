//! Removes header values from texts: a receiver may repeat the request in its answer, and the history shows answers.

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

/// Stands for a value.
const MASK: &str = "••••••••";

/// Shorter values stay: to mask them would change other words, and show what they are.
const MIN_LEN: usize = 6;

/// Masks a value in a text, also without its scheme (`Bearer`, `Basic`), and the password of Basic credentials.
pub(super) fn redact(text: &mut String, value: &str) {
    let token = value.split_once(' ').map_or("", |(_, token)| token);
    let password = password_of(value).unwrap_or_default();
    for secret in [value, token, &password].into_iter().filter(|secret| secret.len() >= MIN_LEN) {
        mask(text, secret);
    }
}

fn mask(text: &mut String, secret: &str) {
    if text.contains(secret) {
        *text = text.replace(secret, MASK);
    }
    // The text may have been cut within the secret.
    let cut = |length: &usize| secret.get(..*length).is_some_and(|begin| text.ends_with(begin));
    if let Some(length) = (MIN_LEN..secret.len()).rev().find(cut) {
        text.truncate(text.len() - length);
        text.push_str(MASK);
    }
}

fn password_of(value: &str) -> Option<Zeroizing<String>> {
    let pair = Zeroizing::new(BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?);
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str, value: &str) -> String {
        let mut text = text.to_owned();
        redact(&mut text, value);
        text
    }

    #[test]
    fn a_value_that_a_receiver_repeats_is_masked() {
        let value = "Bearer t0ken-t0ken";
        assert_eq!(redacted("you sent Bearer t0ken-t0ken.", value), "you sent ••••••••.");
        assert_eq!(redacted("invalid token t0ken-t0ken", value), "invalid token ••••••••");
        assert_eq!(redacted("cut off: Bearer t0ken-", value), "cut off: ••••••••");
        assert_eq!(redacted("cut off: t0ken-t0", value), "cut off: ••••••••");
        assert_eq!(redacted("Bearer of news", value), "Bearer of news");
        let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(redacted("Aladdin said open sesame", basic), "Aladdin said ••••••••");
        assert_eq!(redacted("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", basic), "••••••••");
    }

    #[test]
    fn a_short_value_stays_because_masks_would_show_it() {
        assert_eq!(redacted("1 of 11", "1"), "1 of 11");
    }
}
