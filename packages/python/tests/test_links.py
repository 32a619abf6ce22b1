import re
import unittest
from datetime import timedelta
from typing import Any
from uuid import UUID

from vectors import vectors
from webhook_assets import ArgumentError, Keyring, KeyringError, Minter, SignatureError, SigningKey, verify_link

VECTORS = vectors("signed_url")
ID = "550e8400-e29b-41d4-a716-446655440000"


def ring(*ids: str) -> Keyring:
    return Keyring(SigningKey(id, VECTORS["keys"][id]) for id in ids)


def outcome(vector: dict[str, Any]) -> dict[str, Any]:
    try:
        grant = verify_link(ring(*VECTORS["keyring"]), vector["url"], now=vector["now"])
    except SignatureError as error:
        expired = re.fullmatch("the link expired ([0-9]+) s ago", str(error))
        return {"outcome": error.code, **({"expired_at": vector["now"] - int(expired[1])} if expired else {})}
    return {"outcome": "good", "key": grant.key_id, "kind": grant.kind, "id": grant.id}


class Links(unittest.TestCase):
    minter = Minter("https://app.example.com/api", ring("k1"))

    def refused(self, code: str, *arguments: Any, **options: Any) -> None:
        with self.assertRaises(ArgumentError) as raised:
            self.minter.mint(*arguments, **options)
        self.assertEqual((raised.exception.code, raised.exception.fault), (code, "caller"))

    def test_every_mint_vector_is_reproduced_byte_for_byte(self) -> None:
        for vector in VECTORS["mint"]:
            with self.subTest(vector["name"]):
                minter = Minter(vector["base"], ring(vector["key"]))
                lifetime = min(vector["expires"], VECTORS["longest_lifetime_seconds"])
                link = minter.mint(vector["kind"], vector["id"], lifetime, now=vector["expires"] - lifetime)
                self.assertEqual(link.url, vector["url"])
                self.assertEqual((link.expires, link.key_id), (vector["expires"], vector["key"]))

    def test_every_verify_vector_has_its_outcome(self) -> None:
        self.assertGreater(len(VECTORS["verify"]), 200)
        for vector in VECTORS["verify"]:
            with self.subTest(vector["name"]):
                expected = {name: vector[name] for name in ("outcome", "key", "kind", "id", "expired_at") if name in vector}
                self.assertEqual(outcome(vector), expected)

    def test_a_link_is_a_text_and_its_repr_hides_the_signature(self) -> None:
        link = self.minter.mint("recording", UUID(ID), timedelta(hours=1), now=0)
        self.assertTrue(f"{link}".startswith(f"https://app.example.com/api/webhook-assets/recording/{ID}?expires=3600&sig="))
        self.assertEqual(repr(link), "SignedUrl(expires=3600, key_id='k1')")

    def test_the_format_of_a_transcript_stands_behind_the_signature(self) -> None:
        plain = self.minter.mint("transcript", ID, 60, now=0).url
        self.assertEqual(self.minter.mint("transcript", ID, 60, now=0, format="vtt").url, f"{plain}&format=vtt")
        self.refused("bad_format", "recording", ID, 60, format="vtt")
        self.refused("bad_format", "transcript", ID, 60, format="pdf")

    def test_a_lifetime_is_a_second_to_a_day(self) -> None:
        self.assertEqual(self.minter.mint("recording", ID, 1, now=7).expires, 8)
        self.assertEqual(self.minter.mint("recording", ID, 1.9, now=7).expires, 8)
        self.assertEqual(self.minter.mint("recording", ID, 86_400, now=7).expires, 86_407)
        for lifetime in (0, 0.9, -1, timedelta(milliseconds=999)):
            self.refused("too_short", "recording", ID, lifetime)
        for longer in (86_400.5, 86_401, 1e300):
            self.refused("too_long", "recording", ID, longer)
        for wrong in (float("nan"), float("inf"), None, "60"):
            self.refused("bad_lifetime", "recording", ID, wrong)
        weekly = Minter("https://a.example", ring("k1"), longest_lifetime=604_800)
        self.assertEqual(weekly.mint("recording", ID, 604_800, now=0).expires, 604_800)

    def test_an_id_is_a_uuid_with_hyphens(self) -> None:
        for id in ("", "latest", ID[:-1], ID + "\n", "{" + ID + "}", ID.replace("-", ""), ID[:-1] + "٠", None, 42):
            self.refused("bad_id", "recording", id, 60)
        self.refused("bad_kind", "recordings", ID, 60)

    def test_now_is_a_whole_number_of_seconds(self) -> None:
        for now in (1.5, -1, "0", True):
            self.refused("bad_now", "recording", ID, 60, now=now)

    def test_a_base_url_is_scheme_host_and_path(self) -> None:
        good = (
            "https://a", "http://localhost:8080", "https://a.example.", "https://[::1]:443/api", "https://127.0.0.1",
            "https://a/b/c%20d/~x", "https://a_b.example/a..b", "https://a//", "https://a:00080", "https://x.0xg",
        )
        for base in good:
            with self.subTest(base):
                Minter(base, ring("k1"))
        bad = (
            "", "a.example", "ftp://a", "HTTPS://a", "https://", "https://user@a", "https://a:", "https://a:65536", "https://a:٨",
            "https://a b", "https://ä.example", "https://...", "https://[::1", "https://[1::2::3]", "https://[fe80::1%25eth0]",
            "https://1.2.3",
            "https://01.2.3.4", "https://a.1", "https://a.0x7F", "https://1.2.3.4.", "https://a?b", "https://a/b?c",
            "https://a/b#c", "https://a//b", "https://a/./b", "https://a/b/..", "https://a/%2", "https://a/b\n",
            "https://a/" + "b" * 1_024,
        )
        for base in bad:
            with self.subTest(base), self.assertRaises(ArgumentError) as raised:
                Minter(base, ring("k1"))
            self.assertEqual(raised.exception.code, "bad_base_url")

    def test_without_a_key_that_can_sign_it_is_the_operators_turn(self) -> None:
        late = Minter("https://a.example", Keyring([SigningKey("late", "0a" * 32, 100)]))
        with self.assertRaises(KeyringError) as raised:
            late.mint("recording", ID, 60, now=99)
        self.assertEqual((raised.exception.code, raised.exception.fault), ("no_key", "operator"))

    def test_a_refusal_quotes_no_signature(self) -> None:
        link = self.minter.mint("recording", ID, 60, now=0)
        for url, now in ((link.url, 60), (link.url.replace("expires=60", "expires=61"), 0), (link.url[:-1], 0)):
            with self.assertRaises(SignatureError) as raised:
                verify_link(ring("k1"), url, now=now)
            self.assertEqual(raised.exception.fault, "sender")
            self.assertNotIn(link.url[-40:-1], str(raised.exception))


if __name__ == "__main__":
    unittest.main()
