"""The keyring: selects the key that signs now, and finds the key that made a signature. Follows the keyring file."""

import hashlib
import hmac
import json
import logging
import os
import re
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from threading import Lock
from typing import Any

from ._errors import KeyringError

_LARGEST_FILE = 1 << 20
"""The largest keyring file that is read, in bytes."""

_SHORTEST_KEY, _LONGEST_KEY = 16, 256
"""The bytes that a key may have."""

_log = logging.getLogger("webhook_assets")


def current_second() -> int:
    """The current second since 1970."""
    return int(time.time())


class SigningKey:
    """One key and its validity period: it signs from `starts` on, and neither signs nor verifies from `ends` on."""

    __slots__ = ("_mac", "ends", "id", "starts")

    def __init__(self, id: str, secret: str, starts: int = 0, ends: int | None = None) -> None:
        """`id` has 1 to 64 printable ASCII characters, `secret` the hexadecimal digits of 16 to 256 bytes."""
        if not isinstance(id, str) or not re.fullmatch("[!-~]{1,64}", id):
            raise KeyringError("bad_id", "a key id has 1 to 64 printable ASCII characters and no space")
        if not isinstance(secret, str) or not re.fullmatch("([0-9a-fA-F]{2})*", secret):
            why = "a key is written as hexadecimal digits, two for each byte"
            raise KeyringError("bad_key", f"key {id} of the keyring is unusable: {why}")
        length = len(secret) // 2
        if not _SHORTEST_KEY <= length <= _LONGEST_KEY:
            why = f"a key has {_SHORTEST_KEY} to {_LONGEST_KEY} bytes (32 is right); this one has {length}"
            raise KeyringError("bad_key", f"key {id} of the keyring is unusable: {why}")
        self.id = id
        self.starts = starts
        self.ends = ends
        self._mac = hmac.new(bytes.fromhex(secret), digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return f"SigningKey(id={self.id!r}, starts={self.starts}, ends={self.ends})"

    def sign(self, message: bytes) -> bytes:
        """The HMAC-SHA256 of `message`."""
        mac = self._mac.copy()
        mac.update(message)
        return mac.digest()


class Keyring:
    """A set of keys: of the keys that have started, the newest signs; every key that has not ended verifies."""

    __slots__ = ("keys",)

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        """`keys` are at least one, with different ids."""
        self.keys = tuple(keys)
        if not self.keys:
            raise KeyringError("empty", "the keyring has no key; make one: webhook-assets keys new")
        ids = [key.id for key in self.keys]
        for at, id in enumerate(ids):
            if id in ids[:at]:
                raise KeyringError("repeated_id", f"the keyring has two keys with id {id}; rename or remove one")

    def __repr__(self) -> str:
        return f"Keyring({list(self.keys)!r})"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Keyring":
        """Reads a keyring file as `webhook-assets keys` writes it."""
        text = _read_text(path)
        try:
            return cls.from_json(text)
        except KeyringError as error:
            wrong = KeyringError(error.code, f"{os.fspath(path)}: {error}")
        raise wrong

    @classmethod
    def from_json(cls, text: str) -> "Keyring":
        """Reads the text of a keyring file."""
        return cls(
            SigningKey(entry["id"], entry["secret"], _second_of(entry.get("starts")) or 0, _second_of(entry.get("ends")))
            for entry in _entries_of(text)
        )

    def signing_key(self, now: int, expires: int) -> SigningKey | None:
        """The key that signs a link with this expiry: of the keys that have started and last as long as the link, the
        one that started last (the later in the file if two started together)."""
        found = None
        for key in self.keys:
            lasts = key.ends is None or (key.ends > now and key.ends >= expires)
            if key.starts <= now and lasts and (found is None or key.starts >= found.starts):
                found = key
        return found

    def find(self, message: bytes, mac: bytes, now: int) -> SigningKey | None:
        """The key whose MAC of `message` is `mac`, unless it has ended. Tries every key in constant time."""
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sign(message), mac) and (key.ends is None or key.ends > now):
                found = key
        return found


class ReloadingKeyring:
    """The keyring of a file, read again while the process runs, so that it follows `webhook-assets keys rotate`. Any
    number of threads may share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads the file for the first time; raises `KeyringError` if it cannot be used."""
        self._path = path
        self._keyring = Keyring.read(path)
        self._read_for: int | None = None
        self._problem: KeyringError | None = None
        self._lock = Lock()
        if is_exposed(path):
            _log.warning("other users may read the keyring %s; chmod 600 it", os.fspath(path))

    def __repr__(self) -> str:
        return f"ReloadingKeyring({os.fspath(self._path)!r})"

    def current(self, now: int | None = None) -> Keyring:
        """The keyring at `now`. Reads the file once for each second in which it is asked. While the file cannot be used,
        the last good keyring stays in force, `problem` says why, and the logger `webhook_assets` once for each cause."""
        now = current_second() if now is None else now
        with self._lock:
            if self._read_for != now:
                self._read_for = now
                self._read()
            return self._keyring

    def reload(self) -> None:
        """Reads the file at once, for example in a health check; raises `KeyringError` if it cannot be used."""
        with self._lock:
            self._read()
            problem = self._problem
        if problem:
            raise problem

    @property
    def problem(self) -> KeyringError | None:
        """Why the file could not be used when it was last read; `None` if it could."""
        return self._problem

    def _read(self) -> None:
        before = self._problem
        try:
            self._keyring = Keyring.read(self._path)
            self._problem = None
        except KeyringError as error:
            self._problem = error.with_traceback(None)
            if str(error) != str(before):
                _log.error("%s (the keyring that was read before stays in force)", error)


def is_exposed(path: str | os.PathLike[str]) -> bool:
    """Whether more users than necessary can read the file, as the gateway judges it: root's file that this user reads
    through its group is fine, because Kubernetes mounts secrets that way."""
    if os.name != "posix" or not os.path.exists(path):
        return False
    file = os.stat(path)
    others = file.st_mode & 0o077
    is_member = file.st_gid in [os.getegid(), *os.getgroups()]
    is_mounted_secret = file.st_uid == 0 and os.geteuid() != 0 and is_member
    return others != 0 and not (others == 0o040 and is_mounted_secret)


def _damaged(why: str) -> KeyringError:
    return KeyringError("damaged", f"the keyring file is damaged: {why}; restore it from a replica")


def _read_text(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path)
    try:
        size = os.stat(path).st_size
        if size > _LARGEST_FILE:
            raise _damaged(f"it has {size} bytes, a keyring at most {_LARGEST_FILE}")
        with open(path, "rb") as file:
            return file.read().decode("utf-8")
    except FileNotFoundError:
        remedy = f"make one: webhook-assets keys new --keys {name}"
        wrong = KeyringError("missing", f"there is no keyring at {name}; {remedy}")
    except OSError as error:
        why = error.strerror or type(error).__name__
        wrong = KeyringError("unreadable", f"the keyring {name} cannot be read ({why}); give this user read permission")
    except UnicodeDecodeError:
        wrong = KeyringError("unreadable", f"the keyring {name} cannot be read (not UTF-8); give this user read permission")
    # Raised here, because a decoder's error carries the whole text.
    raise wrong


def _entries_of(text: str) -> list[dict[str, Any]]:
    """The entries of a file's text, whose fields are known and are texts. Errors name the place, never the text there:
    it may be a key."""
    try:
        file = json.loads(text, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError):
        file = None
    if file is None:
        raise _damaged("it is not JSON, or a field stands twice")
    if not isinstance(file, dict) or file.keys() != {"version", "keys"} or not isinstance(file["keys"], list):
        raise _unlike("it")
    if type(file["version"]) is not int:
        raise _unlike("its version")
    for at, entry in enumerate(file["keys"]):
        if not _is_entry(entry):
            raise _unlike(f"key {at + 1}")
    if file["version"] != 1:
        raise _damaged(f"its version is {file['version']}, this package reads 1")
    return list(file["keys"])


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError
    return fields


def _unlike(what: str) -> KeyringError:
    return _damaged(f"{what} is not as `webhook-assets keys` writes it")


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not entry.keys() <= {"id", "secret", "created", "starts", "ends"}:
        return False
    dates = [entry.get(name) for name in ("created", "starts", "ends")]
    fit = all(date is None or (isinstance(date, str) and _second_of(date) is not None) for date in dates)
    return fit and isinstance(entry.get("id"), str) and isinstance(entry.get("secret"), str)


_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]*)?(?:Z|\+00:00)",
)


def _second_of(date: str | None) -> int | None:
    """The second of a date in RFC 3339, in UTC; `None` for any other text."""
    parts = _DATE.fullmatch(date or "")
    if not parts:
        return None
    year, month, day, hour, minute, second = map(int, parts.groups())
    if year < 1970 or second > 60:
        return None
    try:
        return int(datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc).timestamp())
    except ValueError:
        return None
