"""Verifies webhooks: `X-Webhook-Signature`, and the header fields of Standard Webhooks."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Protocol

from ._errors import ArgumentError, SecretError, SignatureError
from ._keyring import current_second

_PREFIX = "whsec_"

_SIGNATURE = re.compile("v1,([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)")
"""A signature of Standard Webhooks: 32 bytes in canonical base64."""


class HeaderFields(Protocol):
    """The header fields of a request, as a `dict`, Flask, Django, Starlette and `http.server` have them."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def is_genuine(raw_body: bytes | bytearray, signature: str | None, secret: str) -> bool:
    """Whether `X-Webhook-Signature` is the HMAC-SHA256 of the body. Compares in constant time.

    `raw_body` is the bytes as they came, before anything parses them; `secret` all of its text, `whsec_` included."""
    _parse_secret(secret)
    expected = hmac.new(secret.encode("ascii"), _bytes_of(raw_body), hashlib.sha256).digest()
    if signature is None or not re.fullmatch("[0-9a-fA-F]{64}", signature):
        return False
    return hmac.compare_digest(bytes.fromhex(signature), expected)


def verify_standard(
    raw_body: bytes | bytearray, headers: HeaderFields, secret: str, *, tolerance: int = 300, now: int | None = None
) -> None:
    """Verifies the three header fields of Standard Webhooks: first the signatures, in constant time, then the timestamp.

    During a rotation the request carries a signature for each secret; one has to fit. Raises a `SignatureError` with the
    code `missing`, `malformed`, `does_not_fit`, `too_old` or `too_new`."""
    key, body = _parse_secret(secret), _bytes_of(raw_body)
    id = _only_value(headers, "webhook-id")
    timestamp = _only_value(headers, "webhook-timestamp")
    signatures = _only_value(headers, "webhook-signature")
    if not re.fullmatch("0*[0-9]{1,20}", timestamp) or int(timestamp[-20:]) > 0xFFFF_FFFF_FFFF_FFFF:
        message = "the header field webhook-timestamp is not one number of seconds since 1970"
        raise SignatureError("malformed", message)
    macs = [base64.b64decode(found[1]) for text in signatures.split(" ") if (found := _SIGNATURE.fullmatch(text))]
    if not macs:
        message = "the header field webhook-signature has no signature of the form v1,<base64 of 32 bytes>"
        raise SignatureError("malformed", message)
    expected = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    # Compares every signature, without stopping at a match.
    if not sum(hmac.compare_digest(mac, expected) for mac in macs):
        remedy = "compare the bytes as they came, before they are parsed"
        message = f"no signature fits: the secret is another one, or the body was changed ({remedy})"
        raise SignatureError("does_not_fit", message)
    _check_age((current_second() if now is None else now) - int(timestamp[-20:]), tolerance)


def _check_age(age: int, tolerance: int) -> None:
    if age > tolerance:
        message = f"the signature fits but its timestamp is {age} s old: this is a replay, or a clock is wrong"
        raise SignatureError("too_old", message)
    if -age > tolerance:
        message = f"the signature fits but its timestamp is {-age} s in the future: a clock is wrong"
        raise SignatureError("too_new", message)


def _parse_secret(secret: str) -> bytes:
    """The key of Standard Webhooks: the bytes behind `whsec_`."""
    if not isinstance(secret, str) or not secret.startswith(_PREFIX):
        raise SecretError("no_prefix", f"a webhook secret begins with {_PREFIX}; copy all of it")
    text = secret[len(_PREFIX) :]
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if base64.b64encode(decoded).decode("ascii") != text:
        remedy = "copy all of it, without spaces"
        raise SecretError("not_base64", f"behind {_PREFIX} a webhook secret is standard base64; {remedy}")
    if not 24 <= len(decoded) <= 64:
        message = f"a webhook secret stands for 24 to 64 bytes (32 is right); this one for {len(decoded)}"
        raise SecretError("bad_length", message)
    return decoded


def _bytes_of(raw_body: bytes | bytearray) -> bytes:
    if isinstance(raw_body, (bytes, bytearray)):
        return bytes(raw_body)
    raise ArgumentError("bad_body", "the raw body is the bytes as they came, not what a parser made of them")


def _only_value(headers: HeaderFields, name: str) -> str:
    """The value of a header field that must occur exactly once; two values would be ambiguous."""
    values = [value for field, value in headers.items() if field.lower() == name]
    if not values:
        raise SignatureError("missing", f"the header field {name} is missing")
    if len(values) > 1:
        raise SignatureError("malformed", f"the header field {name} is not one line of text")
    return values[0]
