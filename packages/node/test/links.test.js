import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { ArgumentError, Keyring, Minter, SigningKey, verifyLink } from "webhook-assets";
import { vectors } from "./vectors.js";

const { keys, keyring, longest_lifetime_seconds: longest, mint, verify } = vectors("signed_url");
const ID = "550e8400-e29b-41d4-a716-446655440000";

const ring = (...ids) => new Keyring(ids.map((id) => new SigningKey(id, keys[id])));
const minter = new Minter("https://app.example.com/api", ring("k1"));

const refused = (code, ...call) =>
  assert.throws(() => minter.mint(...call), { name: "ArgumentError", code, fault: "caller" }, inspect(call));

test("every mint vector is reproduced byte for byte", () => {
  for (const { name, base, key, kind, id, expires, url } of mint) {
    const lifetime = Math.min(expires, longest);
    const link = new Minter(base, ring(key)).mint(kind, id, lifetime, { now: expires - lifetime });
    assert.deepEqual([link.url, link.expires, link.keyId], [url, expires, key], name);
  }
});

test("every verify vector has its outcome", () => {
  assert.ok(verify.length > 200);
  for (const { name, url, now, outcome, key, kind, id, expired_at } of verify) {
    if (outcome === "good") {
      const { expires, ...grant } = verifyLink(ring(...keyring), url, { now });
      assert.deepEqual(grant, { kind, id, keyId: key }, name);
      assert.ok(expires > now);
    } else {
      const message = outcome === "expired" ? `the link expired ${now - expired_at} s ago` : /^the link is refused: /;
      const expected = { name: "SignatureError", code: outcome, message };
      assert.throws(() => verifyLink(ring(...keyring), url, { now }), expected, name);
    }
  }
});

test("a link is a text, and a log hides its signature", () => {
  const link = minter.mint("recording", ID, 3_600, { now: 0 });
  assert.match(`${link}`, new RegExp(`^https://app.example.com/api/webhook-assets/recording/${ID}\\?expires=3600&sig=`));
  assert.equal(JSON.stringify({ link }), JSON.stringify({ link: link.url }));
  assert.equal(inspect(link), "SignedUrl { expires: 3600, keyId: 'k1' }");
  assert.ok(!inspect(link, { showHidden: true, depth: 9 }).includes("sig="));
});

test("the format of a transcript stands behind the signature", () => {
  const plain = minter.mint("transcript", ID, 60, { now: 0 }).url;
  assert.equal(minter.mint("transcript", ID, 60, { now: 0, format: "vtt" }).url, `${plain}&format=vtt`);
  refused("bad_format", "recording", ID, 60, { format: "vtt" });
  refused("bad_format", "transcript", ID, 60, { format: "pdf" });
});

test("a lifetime is a second to a day", () => {
  const expires = (lifetime) => minter.mint("recording", ID, lifetime, { now: 7 }).expires;
  assert.deepEqual([1, 1.9, 86_400].map(expires), [8, 8, 86_407]);
  for (const lifetime of [0, 0.9, -1]) refused("too_short", "recording", ID, lifetime);
  for (const lifetime of [86_400.5, 86_401, 1e300]) refused("too_long", "recording", ID, lifetime);
  for (const lifetime of [NaN, Infinity, undefined, null, "60", 60n]) refused("bad_lifetime", "recording", ID, lifetime);
  const weekly = new Minter("https://a.example", ring("k1"), { longestLifetime: 604_800 });
  assert.equal(weekly.mint("recording", ID, 604_800, { now: 0 }).expires, 604_800);
});

test("an id is a UUID with hyphens", () => {
  const wrong = ["", "latest", ID.slice(1), `${ID}\n`, `{${ID}}`, ID.replaceAll("-", ""), `${ID.slice(1)}٠`, null, undefined, 42];
  for (const id of wrong) refused("bad_id", "recording", id, 60);
  refused("bad_kind", "recordings", ID, 60);
  refused("bad_kind", undefined, ID, 60);
});

test("now is a whole number of seconds", () => {
  for (const now of [1.5, -1, "0", NaN, 2 ** 53]) refused("bad_now", "recording", ID, 60, { now });
});

test("a base URL is scheme, host and path", () => {
  const good = [
    "https://a", "http://localhost:8080", "https://a.example.", "https://[::1]:443/api", "https://127.0.0.1",
    "https://a/b/c%20d/~x", "https://a_b.example/a..b", "https://a//", "https://a:00080", "https://x.0xg",
  ];
  for (const base of good) new Minter(base, ring("k1"));
  const bad = [
    "", "a.example", "ftp://a", "HTTPS://a", "https://", "https://user@a", "https://a:", "https://a:65536", "https://a:٨",
    "https://a b", "https://ä.example", "https://...", "https://[::1", "https://[1::2::3]", "https://[fe80::1%25eth0]",
    "https://1.2.3",
    "https://01.2.3.4", "https://a.1", "https://a.0x7F", "https://1.2.3.4.", "https://a?b", "https://a/b?c",
    "https://a/b#c", "https://a//b", "https://a/./b", "https://a/b/..", "https://a/%2", "https://a/b\n",
    `https://a/${"b".repeat(1_024)}`, undefined,
  ];
  for (const base of bad) assert.throws(() => new Minter(base, ring("k1")), { code: "bad_base_url" }, base);
  assert.throws(() => new Minter("https://a", "/etc/webhook-assets/keys.json"), ArgumentError);
});

test("without a key that can sign, it is the operator's turn", () => {
  const late = new Minter("https://a.example", new Keyring([new SigningKey("late", "0a".repeat(32), 100)]));
  const expected = { name: "KeyringError", code: "no_key", fault: "operator" };
  assert.throws(() => late.mint("recording", ID, 60, { now: 99 }), expected);
});

test("a refusal quotes no signature", () => {
  const { url } = minter.mint("recording", ID, 60, { now: 0 });
  for (const [link, now] of [[url, 60], [url.replace("expires=60", "expires=61"), 0], [url.slice(0, -1), 0]]) {
    const quotes = (error) => error.fault === "sender" && !inspect(error).includes(url.slice(-40, -1));
    assert.throws(() => verifyLink(ring("k1"), link, { now }), quotes);
  }
});
