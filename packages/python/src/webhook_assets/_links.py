"""Signed links: mints them, and verifies them as the gateway does."""

import ipaddress
import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NoReturn
from uuid import UUID

from ._errors import ArgumentError, KeyringError, SignatureError
from ._keyring import Keyring, ReloadingKeyring, current_second

AssetKind = Literal["recording", "transcript"]
TranscriptFormat = Literal["txt", "vtt", "srt", "md"]

LONGEST_LIFETIME = 86_400
"""The longest lifetime of a link in seconds, unless the gateway is configured otherwise."""

_CLOCK_SKEW = 300
"""How far the clocks of minter and gateway may differ, in seconds."""

_LONGEST_BASE = 1_024
"""The longest base URL, in characters."""

_CANONICAL_ID = re.compile("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(frozen=True)
class SignedUrl:
    """A signed link. As a text it is the URL; its `repr` hides the URL, which is a secret."""

    url: str = field(repr=False)
    expires: int
    """The second from which the link has expired."""
    key_id: str
    """The id of the key that signed it."""

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class Grant:
    """What a link opens."""

    kind: AssetKind
    id: str
    expires: int
    key_id: str


class Minter:
    """Mints signed links below one public base URL. Any number of threads may share it."""

    def __init__(
        self, base_url: str, keys: Keyring | ReloadingKeyring, *, longest_lifetime: int = LONGEST_LIFETIME
    ) -> None:
        """`base_url` is scheme, host and path: `https://app.example.com/api`. The gateway must be configured to accept
        lifetimes longer than a day."""
        if not isinstance(keys, (Keyring, ReloadingKeyring)):
            raise ArgumentError("bad_keys", "a minter takes a Keyring or a ReloadingKeyring")
        self._base = _parse_base(base_url)
        self._keys = keys
        self._longest = longest_lifetime

    def mint(
        self,
        kind: AssetKind,
        id: UUID | str,
        lifetime: float | timedelta,
        *,
        format: TranscriptFormat | None = None,
        now: int | None = None,
    ) -> SignedUrl:
        """A link to the recording or transcript of call `id` that is valid for `lifetime` (in seconds) from now.
        `format` opens a transcript as text, captions, subtitles or Markdown."""
        uuid, suffix = _parse_id(kind, id), _parse_format(kind, format)
        seconds = lifetime.total_seconds() if isinstance(lifetime, timedelta) else lifetime
        if not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
            raise ArgumentError("bad_lifetime", "a lifetime is a number of seconds")
        if seconds > self._longest:
            raise ArgumentError("too_long", f"a link may live at most {self._longest} s, not {seconds} s")
        if seconds < 1:
            raise ArgumentError("too_short", "a link lives at least one second")
        now = current_second() if now is None else now
        if type(now) is not int or now < 0:
            raise ArgumentError("bad_now", "`now` is a whole number of seconds since 1970")
        expires = now + int(seconds)
        keyring = self._keys.current(now) if isinstance(self._keys, ReloadingKeyring) else self._keys
        key = keyring.signing_key(now, expires)
        if not key:
            why = "each has not started yet or ends before the link would"
            remedy = "see `webhook-assets keys list`, then `keys rotate`"
            raise KeyringError("no_key", f"no key of the ring may sign this: {why}; {remedy}")
        sig = key.sign(_message_of(kind, uuid, str(expires))).hex()
        url = f"{self._base}/webhook-assets/{kind}/{uuid}?expires={expires}&sig={sig}{suffix}"
        return SignedUrl(url, expires, key.id)


_LINK = re.compile(r"[^?#]*/webhook-assets/(recording|transcript)/([^/?#]*)\?([^#]*)", re.DOTALL)


def verify_link(
    keyring: Keyring, url: str, *, now: int | None = None, longest_lifetime: int = LONGEST_LIFETIME
) -> Grant:
    """Verifies a link as the gateway does: its form, its signature, its time. Raises a `SignatureError` with the code
    `expired` or `invalid_signature`."""
    now = current_second() if now is None else now
    found = _LINK.match(url)
    if not found or not _CANONICAL_ID.fullmatch(found[2]):
        _invalid("it is no link to an asset")
    kind: AssetKind = "recording" if found[1] == "recording" else "transcript"
    expires, sig = _parameter(found[3], "expires"), _parameter(found[3], "sig")
    if not expires or not re.fullmatch("0|[1-9][0-9]{0,19}", expires):
        _invalid("`expires` is not one plain number")
    if not sig or not re.fullmatch("[0-9a-f]{64}", sig):
        _invalid("`sig` is not 64 lower-case hexadecimal digits")
    key = keyring.find(_message_of(kind, found[2], expires), bytes.fromhex(sig), now)
    if not key:
        _invalid("the signature fits no key of the keyring")
    second = int(expires)
    if second <= now:
        raise SignatureError("expired", f"the link expired {now - second} s ago")
    if second > now + longest_lifetime + _CLOCK_SKEW:
        _invalid("it would be good for longer than links may live")
    return Grant(kind, found[2], second, key.id)


def _invalid(why: str) -> NoReturn:
    raise SignatureError("invalid_signature", f"the link is refused: {why}")


def _parameter(query: str, name: str) -> str | None:
    """The value of a parameter that stands exactly once; nothing is decoded."""
    found = [pair for pair in query.split("&") if pair == name or pair.startswith(f"{name}=")]
    return found[0][len(name) + 1 :] if len(found) == 1 else None


def _message_of(kind: str, uuid: str, expires: str) -> bytes:
    """The signed bytes."""
    return "\n".join(["webhook-assets/v1", kind, uuid, expires]).encode("ascii")


def _parse_id(kind: str, id: UUID | str) -> str:
    if kind not in ("recording", "transcript"):
        raise ArgumentError("bad_kind", "an asset is a `recording` or a `transcript`")
    uuid = str(id).lower()
    if not _CANONICAL_ID.fullmatch(uuid):
        example = "550e8400-e29b-41d4-a716-446655440000"
        raise ArgumentError("bad_id", f"a call's id is a UUID with hyphens, e.g. {example}")
    return uuid


def _parse_format(kind: str, format: str | None) -> str:
    if format is None:
        return ""
    if kind != "transcript" or format not in ("txt", "vtt", "srt", "md"):
        message = "the format of a transcript is `txt`, `vtt`, `srt` or `md`; a recording has none"
        raise ArgumentError("bad_format", message)
    return f"&format={format}"


_BASE = re.compile("https?://([^/?#]*)(.*)", re.DOTALL)
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|\Z))([A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)*")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]*)\]|([A-Za-z0-9._-]*))(?::([0-9]+))?")


def _parse_base(text: str) -> str:
    url = str(text).rstrip("/")
    found = _BASE.fullmatch(url)
    if not found:
        _bad_base("starts with https:// or http://")
    if not _is_host(found[1]):
        _bad_base("names a host and no user")
    if len(url) > _LONGEST_BASE or not _PREFIX.fullmatch(found[2]):
        _bad_base("is scheme, host and path alone")
    return url


def _bad_base(what: str) -> NoReturn:
    raise ArgumentError("bad_base_url", f"a base URL {what}, e.g. https://app.example.com/api")


def _is_host(text: str) -> bool:
    """Whether the text is a name or an address with an optional port."""
    found = _HOST.fullmatch(text) if len(text) <= _LONGEST_BASE else None
    if not found or int(found[3] or 0) > 65_535:
        return False
    address, name = found[1], found[2]
    if address is not None:
        return _is_address(ipaddress.IPv6Address, address)
    # Clients read a name whose last label is a number as an IPv4 address.
    last = name.rstrip(".").rpartition(".")[2]
    is_number = re.fullmatch("[0-9]+|0[xX][0-9a-fA-F]*", last) is not None
    is_name = re.search("[A-Za-z0-9]", name) is not None
    return is_name and (not is_number or _is_address(ipaddress.IPv4Address, name))


def _is_address(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
