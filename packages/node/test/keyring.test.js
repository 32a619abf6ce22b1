import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";

import { Keyring, Minter, ReloadingKeyring, SigningKey, isExposed, verifyLink } from "webhook-assets";
import { textOf, vectors } from "./vectors.js";

const { signs, refused } = vectors("keyring");
const ID = "550e8400-e29b-41d4-a716-446655440000";
const SECRET = "0a".repeat(32);
const PROGRAM = process.env.WEBHOOK_ASSETS_PROGRAM;

const fileOf = (starts) =>
  JSON.stringify({ version: 1, keys: Object.entries(starts).map(([id, date]) => ({ id, secret: SECRET, starts: date })) });

/** A keyring's place in a new folder. */
function place(t) {
  const folder = mkdtempSync(join(tmpdir(), "keyring-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "keys.json");
}

/** Replaces the file as a whole, as `webhook-assets keys` does. */
function write(path, text) {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The warnings of the process while `work` runs. */
async function warningsOf(work) {
  const found = [];
  const listener = (warning) => found.push(`${warning.name}: ${warning.message}`);
  process.on("warning", listener);
  try {
    work();
    await new Promise(setImmediate);
  } finally {
    process.off("warning", listener);
  }
  return found;
}

test("the newest key that has started and lasts signs", () => {
  for (const vector of signs) {
    const ring = Keyring.fromJson(textOf(vector));
    for (const { now, expires, key } of vector.asked) {
      assert.equal(ring.signingKey(now, expires)?.id ?? null, key, `${vector.name}: ${now}, ${expires}`);
    }
  }
});

test("a file that is no keyring is refused without being quoted", (t) => {
  const path = place(t);
  for (const vector of refused) {
    write(path, textOf(vector));
    const expected = (error) =>
      error.name === "KeyringError" && error.message.includes("keys.json") && !inspect(error).includes("a7416aad2bff");
    assert.throws(() => Keyring.read(path), expected, vector.name);
  }
});

test("a file that cannot be read says what to do", (t) => {
  const path = place(t);
  const is = (code, message) => ({ name: "KeyringError", code, fault: "operator", message });
  assert.throws(() => Keyring.read(path), is("missing", /webhook-assets keys new --keys .*keys.json/));
  writeFileSync(path, Buffer.concat([Buffer.from(fileOf({ a: "1970-01-01T00:00:00Z" })), Buffer.from([0xff])]));
  assert.throws(() => Keyring.read(path), is("unreadable", /keys.json/));
  writeFileSync(path, fileOf({ a: "1970-01-01T00:00:00Z" }) + " ".repeat(1 << 20));
  assert.throws(() => Keyring.read(path), is("damaged", /a keyring at most 1048576/));
  writeFileSync(path, "[".repeat(500_000));
  assert.throws(() => Keyring.read(path), is("damaged", /keys.json/));
});

test("every key verifies until it ends", () => {
  const ring = new Keyring([new SigningKey("a", SECRET, 100, 300), new SigningKey("b", "0b".repeat(32), 900)]);
  const macs = ring.keys.map((key) => key.sign("m"));
  const fits = (mac, now) => ring.find("m", mac, now)?.id;
  assert.deepEqual([fits(macs[0], 299), fits(macs[0], 300)], ["a", undefined]);
  assert.equal(fits(macs[1], 0), "b", "before its start too");
  assert.equal(fits(Buffer.alloc(32), 0), undefined);
});

test("nothing shows a key", () => {
  const shown = inspect(new Keyring([new SigningKey("a", SECRET, 100)]), { showHidden: true, depth: 9 });
  assert.match(shown, /id: 'a', starts: 100, ends: null/);
  assert.ok(!shown.includes("0a0a") && !JSON.stringify(new SigningKey("a", SECRET)).includes("0a0a"));
});

test("a file that others may read is exposed", { skip: !process.geteuid && "modes are POSIX's" }, async (t) => {
  const path = place(t);
  write(path, fileOf({ a: "1970-01-01T00:00:00Z" }));
  for (const [mode, exposed] of [[0o600, false], [0o400, false], [0o644, true], [0o604, true], [0o620, true], [0o660, true]]) {
    chmodSync(path, mode);
    assert.equal(isExposed(path), exposed, mode.toString(8));
  }
  chmodSync(path, 0o644);
  assert.match((await warningsOf(() => new ReloadingKeyring(path))).join(), /^KeyringWarning: .*chmod 600/);
  chmodSync(path, 0o600);
  assert.deepEqual(await warningsOf(() => new ReloadingKeyring(path)), []);
});

test("a secret that Kubernetes mounts is not exposed", { skip: process.geteuid?.() !== 0 && "only root makes root's files" }, (t) => {
  const path = place(t);
  write(path, fileOf({ a: "1970-01-01T00:00:00Z" }));
  const groups = t.mock.method(process, "getgroups", () => [0, 1_000]);
  t.mock.method(process, "getegid", () => 1_000);
  const user = t.mock.method(process, "geteuid", () => 1_000);
  for (const [mode, exposed] of [[0o440, false], [0o640, false], [0o444, true], [0o460, true]]) {
    chmodSync(path, mode);
    assert.equal(isExposed(path), exposed, mode.toString(8));
  }
  chmodSync(path, 0o440);
  groups.mock.mockImplementation(() => [1_000]);
  assert.equal(isExposed(path), true, "its group is another");
  groups.mock.mockImplementation(() => [0]);
  user.mock.mockImplementation(() => 0);
  assert.equal(isExposed(path), true, "root needs no group");
});

test("a minter signs with the keys that the file has now", async (t) => {
  const path = place(t);
  write(path, fileOf({ a: "1970-01-01T00:01:00Z" }));
  const ring = new ReloadingKeyring(path);
  const minter = new Minter("https://app.example.com", ring);
  const signer = (now) => minter.mint("recording", ID, 60, { now }).keyId;
  assert.equal(signer(100), "a");
  write(path, fileOf({ a: "1970-01-01T00:01:00Z", b: "1970-01-01T00:03:20Z" }));
  assert.deepEqual([signer(199), signer(200)], ["a", "b"], "each key from its start on");

  writeFileSync(path, fileOf({ c: "1970-01-01T00:01:00Z" }).slice(0, 30));
  const warnings = await warningsOf(() => {
    assert.deepEqual([signer(201), signer(202)], ["b", "b"], "the last good keyring stays in force");
    assert.throws(() => ring.reload(), { code: "damaged" });
  });
  assert.equal(warnings.length, 1, "one line for a cause that lasts");
  assert.match(warnings[0], /keys.json.*damaged.*stays in force/);
  assert.match(ring.problem.message, /keys.json.*damaged/);

  write(path, fileOf({ c: "1970-01-01T00:01:00Z" }));
  assert.equal(signer(202), "b", "the file is read once a second");
  ring.reload();
  assert.deepEqual([signer(202), ring.problem], ["c", null], "or at once");
  rmSync(path);
  assert.equal((await warningsOf(() => assert.equal(signer(203), "c"))).length, 1);
  assert.equal(ring.problem.code, "missing");
  assert.throws(() => new ReloadingKeyring(path), { code: "missing" });
});

test("a minter follows rotation and retirement by the program", { skip: !PROGRAM && "needs WEBHOOK_ASSETS_PROGRAM" }, (t) => {
  const path = place(t);
  const program = (...words) => execFileSync(PROGRAM, [...words, "--keys", path], { encoding: "utf8" });
  const states = () => JSON.parse(program("keys", "list", "--json")).keys.map(({ id, state }) => [id, state]);
  const signing = () => states().find(([, state]) => state === "signing")[0];
  program("keys", "new");
  assert.equal(isExposed(path), false);
  const ring = new ReloadingKeyring(path);
  const minter = new Minter("https://app.example.com/api", ring);
  const signedBy = () => {
    ring.reload();
    const { url, keyId } = minter.mint("recording", ID, 86_400);
    assert.ok(program("verify", url).includes(`signed by key ${keyId}`));
    assert.equal(verifyLink(ring.current(), url).keyId, keyId);
    return keyId;
  };

  const first = signing();
  assert.equal(signedBy(), first);
  program("keys", "rotate", "--starts-in", "1h");
  assert.equal(signedBy(), first, "a staged key waits");
  program("keys", "rotate", "--starts-in", "0s");
  const second = signing();
  assert.notEqual(second, first);
  assert.equal(signedBy(), second);
  const old = minter.mint("recording", ID, 60).url;
  program("keys", "rotate", "--starts-in", "0s");
  program("keys", "retire", second, "--now");
  assert.equal(signedBy(), signing());
  assert.equal(new Map(states()).get(second), "ended");
  assert.throws(() => verifyLink(ring.current(), old), /fits no key/);
});

test("the program takes and refuses the files that this package does", { skip: !PROGRAM && "needs WEBHOOK_ASSETS_PROGRAM" }, (t) => {
  const path = place(t);
  for (const vector of [...signs, ...refused]) {
    write(path, textOf(vector));
    const { status } = spawnSync(PROGRAM, ["keys", "list", "--keys", path]);
    assert.equal(status === 0, "asked" in vector, vector.name);
  }
});
