import json
import os
import pickle
import subprocess
import tempfile
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from vectors import text_of, vectors
from webhook_assets import Keyring, KeyringError, Minter, ReloadingKeyring, SigningKey, is_exposed, verify_link

VECTORS = vectors("keyring")
ID = "550e8400-e29b-41d4-a716-446655440000"
SECRET = "0a" * 32
PROGRAM = os.environ.get("WEBHOOK_ASSETS_PROGRAM")


def file_of(**starts: str) -> str:
    keys = [{"id": id, "secret": SECRET, "starts": date} for id, date in starts.items()]
    return json.dumps({"version": 1, "keys": keys})


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "keys.json"

    def write(self, text: str) -> None:
        """Replaces the file as a whole, as `webhook-assets keys` does."""
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text, "utf-8")
        new.replace(self.path)

    @contextmanager
    def refused(self, code: str, *words: str) -> Iterator[None]:
        with self.assertRaises(KeyringError) as raised:
            yield
        error = raised.exception
        self.assertEqual((error.code, error.fault), (code, "operator"))
        for word in words:
            self.assertIn(word, str(error))
        self.assertIsNone(error.__context__, "a decoder's error carries the file")


class Files(Folder):
    def test_the_newest_key_that_has_started_and_lasts_signs(self) -> None:
        for vector in VECTORS["signs"]:
            with self.subTest(vector["name"]):
                ring = Keyring.from_json(text_of(vector))
                for asked in vector["asked"]:
                    key = ring.signing_key(asked["now"], asked["expires"])
                    self.assertEqual(key and key.id, asked["key"], asked)

    def test_a_file_that_is_no_keyring_is_refused_without_being_quoted(self) -> None:
        for vector in VECTORS["refused"]:
            with self.subTest(vector["name"]):
                self.write(text_of(vector))
                with self.assertRaises(KeyringError) as raised:
                    Keyring.read(self.path)
                self.assertIn("keys.json", str(raised.exception))
                self.assertNotIn("a7416aad2bff", str(raised.exception))
                self.assertIsNone(raised.exception.__context__, "a decoder's error carries the file")

    def test_a_file_that_cannot_be_read_says_what_to_do(self) -> None:
        with self.refused("missing", "webhook-assets keys new --keys", "keys.json"):
            Keyring.read(self.path)
        self.path.write_bytes(b'{"version": 1, "keys": [{"id": "\xff", "secret": "' + SECRET.encode() + b'"}]}')
        with self.refused("unreadable", "keys.json"):
            Keyring.read(self.path)
        self.path.write_text(file_of(a="1970-01-01T00:00:00Z") + " " * (1 << 20))
        with self.refused("damaged", "a keyring at most 1048576"):
            Keyring.read(self.path)
        self.path.write_text("[" * 500_000)
        with self.refused("damaged"):
            Keyring.read(self.path)

    def test_every_key_verifies_until_it_ends(self) -> None:
        ring = Keyring([SigningKey("a", SECRET, 100, 300), SigningKey("b", "0b" * 32, 900)])
        macs = [key.sign(b"m") for key in ring.keys]

        def fits(mac: bytes, now: int) -> str | None:
            key = ring.find(b"m", mac, now)
            return key.id if key else None

        self.assertEqual([fits(macs[0], 299), fits(macs[0], 300)], ["a", None])
        self.assertEqual(fits(macs[1], 0), "b", "before its start too")
        self.assertIsNone(fits(bytes(32), 0))

    def test_nothing_shows_a_key(self) -> None:
        ring = Keyring([SigningKey("a", SECRET, 100)])
        self.assertEqual(repr(ring), "Keyring([SigningKey(id='a', starts=100, ends=None)])")
        with self.assertRaises(TypeError):
            pickle.dumps(ring)

    @unittest.skipUnless(os.name == "posix", "modes are POSIX's")
    def test_a_file_that_others_may_read_is_exposed(self) -> None:
        self.write(file_of(a="1970-01-01T00:00:00Z"))
        for mode, exposed in ((0o600, False), (0o400, False), (0o644, True), (0o604, True), (0o620, True), (0o660, True)):
            self.path.chmod(mode)
            self.assertEqual(is_exposed(self.path), exposed, oct(mode))
        self.path.chmod(0o644)
        with self.assertLogs("webhook_assets", "WARNING") as logs:
            ReloadingKeyring(self.path)
        self.assertIn("chmod 600", logs.output[0])
        self.path.chmod(0o600)
        with self.assertNoLogs("webhook_assets"):
            ReloadingKeyring(self.path)

    @unittest.skipUnless(os.name == "posix", "modes are POSIX's")
    def test_a_secret_that_kubernetes_mounts_is_not_exposed(self) -> None:
        def exposed(mode: int, owner: int = 0, user: int = 1_000, groups: tuple[int, ...] = (7, 1_000)) -> bool:
            file = SimpleNamespace(st_mode=0o100000 | mode, st_uid=owner, st_gid=7)
            with (
                patch("os.stat", return_value=file),
                patch("os.geteuid", return_value=user),
                patch("os.getegid", return_value=1_000),
                patch("os.getgroups", return_value=list(groups)),
            ):
                return is_exposed("keys.json")

        self.assertEqual([exposed(0o440), exposed(0o640)], [False, False])
        self.assertEqual([exposed(0o444), exposed(0o460)], [True, True])
        self.assertTrue(exposed(0o440, owner=1_000), "another user owns it")
        self.assertTrue(exposed(0o440, user=0), "root needs no group")
        self.assertTrue(exposed(0o440, groups=(1_000,)), "its group is another")


class Reloading(Folder):
    def test_a_minter_signs_with_the_keys_that_the_file_has_now(self) -> None:
        self.write(file_of(a="1970-01-01T00:01:00Z"))
        ring = ReloadingKeyring(self.path)
        minter = Minter("https://app.example.com", ring)

        def signer(now: int) -> str:
            return minter.mint("recording", ID, 60, now=now).key_id

        self.assertEqual(signer(100), "a")
        self.write(file_of(a="1970-01-01T00:01:00Z", b="1970-01-01T00:03:20Z"))
        self.assertEqual((signer(199), signer(200)), ("a", "b"), "each key from its start on")

        self.path.write_text(file_of(c="1970-01-01T00:01:00Z")[:30])
        with self.assertLogs("webhook_assets", "ERROR") as logs:
            self.assertEqual((signer(201), signer(202)), ("b", "b"), "the last good keyring stays in force")
        self.assertEqual(len(logs.output), 1, "one line for a cause that lasts")
        self.assertRegex(logs.output[0], "keys.json.*damaged.*stays in force")
        self.assertRegex(str(ring.problem), "keys.json.*damaged")
        with self.refused("damaged"), self.assertNoLogs("webhook_assets"):
            ring.reload()

        self.write(file_of(c="1970-01-01T00:01:00Z"))
        self.assertEqual(signer(202), "b", "the file is read once a second")
        ring.reload()
        self.assertEqual((signer(202), ring.problem), ("c", None), "or at once")
        self.path.unlink()
        with self.assertLogs("webhook_assets", "ERROR"):
            self.assertEqual(signer(203), "c")
        self.assertEqual(ring.problem and ring.problem.code, "missing")

    def test_the_first_read_must_succeed(self) -> None:
        with self.refused("missing"):
            ReloadingKeyring(self.path)

    def test_threads_share_one_while_the_file_is_replaced(self) -> None:
        texts = [file_of(a="1970-01-01T00:01:00Z"), file_of(b="1970-01-01T00:01:00Z")]
        self.write(texts[0])
        ring, seen = ReloadingKeyring(self.path), set[str]()

        def ask() -> None:
            for now in range(300):
                seen.update(key.id for key in ring.current(now).keys)

        threads = [Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for round in range(50):
            self.write(texts[round % 2])
        for thread in threads:
            thread.join()
        self.assertLessEqual(seen, {"a", "b"})
        self.assertIsNone(ring.problem)


@unittest.skipUnless(PROGRAM, "WEBHOOK_ASSETS_PROGRAM names no program that writes keyring files")
class Program(Folder):
    """Keyring files as `webhook-assets keys` writes and changes them."""

    def program(self, *arguments: str) -> str:
        command = [PROGRAM or "", *arguments, "--keys", str(self.path)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        return ran.stdout

    def states(self) -> dict[str, str]:
        listed: dict[str, Any] = json.loads(self.program("keys", "list", "--json"))
        return {key["id"]: key["state"] for key in listed["keys"]}

    def signer(self) -> str:
        return next(id for id, state in self.states().items() if state == "signing")

    def test_a_minter_follows_rotation_and_retirement(self) -> None:
        self.program("keys", "new")
        self.assertFalse(is_exposed(self.path))
        ring = ReloadingKeyring(self.path)
        minter = Minter("https://app.example.com/api", ring)

        def signed_by() -> str:
            ring.reload()
            link = minter.mint("recording", ID, 86_400)
            self.assertIn(f"signed by key {link.key_id}", self.program("verify", link.url))
            self.assertEqual(verify_link(ring.current(), link.url).key_id, link.key_id)
            return link.key_id

        first = self.signer()
        self.assertEqual(signed_by(), first)
        self.program("keys", "rotate", "--starts-in", "1h")
        self.assertEqual((signed_by(), "waiting" in self.states().values()), (first, True), "a staged key waits")
        self.program("keys", "rotate", "--starts-in", "0s")
        second = self.signer()
        self.assertEqual((signed_by(), second != first), (second, True))
        old = minter.mint("recording", ID, 60).url
        self.assertEqual(verify_link(ring.current(), old).key_id, second)
        self.program("keys", "rotate", "--starts-in", "0s")
        self.program("keys", "retire", second, "--now")
        self.assertEqual((signed_by(), self.states()[second]), (self.signer(), "ended"))
        with self.assertRaisesRegex(Exception, "fits no key"):
            verify_link(ring.current(), old)

    def test_it_takes_and_refuses_the_files_that_this_package_does(self) -> None:
        for vector in VECTORS["signs"] + VECTORS["refused"]:
            with self.subTest(vector["name"]):
                self.write(text_of(vector))
                command = [PROGRAM or "", "keys", "list", "--keys", str(self.path)]
                ran = subprocess.run(command, capture_output=True, check=False)
                self.assertEqual(ran.returncode == 0, "asked" in vector)


if __name__ == "__main__":
    unittest.main()
