import unittest
from email.message import Message
from typing import Any

from vectors import vectors
from webhook_assets import ArgumentError, SecretError, SignatureError, is_genuine, verify_standard

VECTORS = vectors("webhook_signature")["vectors"]
GOOD = VECTORS[0]
WORDS = {"does_not_fit": "does not fit", "too_old": "too old"}


def standard(vector: dict[str, Any], headers: Any = None, **options: Any) -> str:
    headers = vector["headers"] if headers is None else headers
    try:
        verify_standard(vector["body"].encode(), headers, vector["secret"], **{"now": vector["now"], **options})
    except SignatureError as error:
        return WORDS.get(error.code, error.code)
    return "good"


def with_field(name: str, value: str) -> str:
    return standard(GOOD, {**GOOD["headers"], name: value})


class Webhooks(unittest.TestCase):
    def test_every_vector_is_judged_as_it_says(self) -> None:
        self.assertGreaterEqual(len(VECTORS), 11)
        for vector in VECTORS:
            with self.subTest(vector["name"]):
                plain = is_genuine(vector["body"].encode(), vector["headers"]["X-Webhook-Signature"], vector["secret"])
                self.assertEqual("good" if plain else "does not fit", vector["plain"])
                self.assertEqual(standard(vector), vector["standard"])

    def test_a_timestamp_may_differ_by_the_tolerance(self) -> None:
        at = int(GOOD["headers"]["webhook-timestamp"])
        for offset, expected in ((300, "good"), (301, "too old"), (-300, "good"), (-301, "too_new")):
            self.assertEqual(standard(GOOD, now=at + offset), expected)
        self.assertEqual(standard(GOOD, now=at + 11, tolerance=10), "too old")

    def test_one_of_several_signatures_has_to_fit(self) -> None:
        good = GOOD["headers"]["webhook-signature"]
        other = "v1," + "A" * 43 + "="
        for signatures in (f"{other} {good}", f"{good} {other}", f"v2,x {good} v1,short", f" {good} "):
            self.assertEqual(with_field("webhook-signature", signatures), "good", signatures)
        self.assertEqual(with_field("webhook-signature", f"{other} {other}"), "does not fit")

    def test_a_malformed_field_is_named(self) -> None:
        for signature in ("", "v1,", "v2," + GOOD["headers"]["webhook-signature"][3:], "v1,AAAA", "v1," + "A" * 42 + "B="):
            self.assertEqual(with_field("webhook-signature", signature), "malformed", signature)
        for timestamp in ("", "-1", "+1", "1.5", " 1", "1\n", "٠", "18446744073709551616", "9" * 5_000):
            self.assertEqual(with_field("webhook-timestamp", timestamp), "malformed", timestamp[:20])
        for timestamp in ("18446744073709551615", "0" * 5_000 + "1"):
            self.assertEqual(with_field("webhook-timestamp", timestamp), "does not fit", timestamp[:20])

    def test_a_field_stands_exactly_once_in_any_case_of_letters(self) -> None:
        fields = Message()
        for name, value in GOOD["headers"].items():
            fields[name.upper()] = value
        self.assertEqual(standard(GOOD, fields), "good")
        fields["Webhook-Id"] = GOOD["headers"]["webhook-id"]
        self.assertEqual(standard(GOOD, fields), "malformed")
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            rest = {field: value for field, value in GOOD["headers"].items() if field != name}
            self.assertEqual(standard(GOOD, rest), "missing")

    def test_a_plain_signature_is_64_hexadecimal_digits(self) -> None:
        body, secret, good = GOOD["body"].encode(), GOOD["secret"], GOOD["headers"]["X-Webhook-Signature"]
        self.assertTrue(is_genuine(body, good.upper(), secret))
        self.assertTrue(is_genuine(bytearray(body), good, secret))
        for signature in (None, "", good[:-1], good + "0", good + "\n", "sha256=" + good, good[:-1] + "g", good[:-1] + "٠"):
            self.assertFalse(is_genuine(body, signature, secret), signature)

    def test_a_parsed_body_is_the_callers_mistake(self) -> None:
        for body in (GOOD["body"], {"event": "call.completed"}, None):
            with self.assertRaises(ArgumentError) as raised:
                is_genuine(body, "", GOOD["secret"])  # type: ignore[arg-type]
            self.assertEqual(raised.exception.code, "bad_body")

    def test_a_secret_is_refused_without_being_quoted(self) -> None:
        text = GOOD["secret"].removeprefix("whsec_")
        for secret, code in (
            (None, "no_prefix"), (text, "no_prefix"), ("whsec_" + text + "\n", "not_base64"), ("whsec_" + text[:-1], "not_base64"),
            ("whsec_" + text.replace("+", "-").replace("/", "_"), "not_base64"), ("whsec_", "bad_length"),
            ("whsec_AAAA", "bad_length"), ("whsec_" + "A" * 88, "bad_length"), ("whsec_é", "not_base64"),
        ):
            with self.subTest(secret), self.assertRaises(SecretError) as raised:
                is_genuine(b"", "", secret)  # type: ignore[arg-type]
            self.assertEqual((raised.exception.code, raised.exception.fault), (code, "operator"))
            self.assertNotIn(text[:20], str(raised.exception))


if __name__ == "__main__":
    unittest.main()
