import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { isGenuine, verifyStandard } from "webhook-assets";
import { vectors } from "./vectors.js";

const all = vectors("webhook_signature").vectors;
const [good] = all;
const words = { does_not_fit: "does not fit", too_old: "too old" };

/** The fields as `request.headers` of Node has them. */
const lowered = (headers) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

function standard(vector, headers = vector.headers, options = {}) {
  try {
    verifyStandard(Buffer.from(vector.body), headers, vector.secret, { now: vector.now, ...options });
    return "good";
  } catch (error) {
    assert.equal(error.name, "SignatureError", error.stack);
    return words[error.code] ?? error.code;
  }
}

const withField = (name, value) => standard(good, { ...good.headers, [name]: value });

test("every vector is judged as it says", () => {
  assert.ok(all.length >= 11);
  for (const vector of all) {
    const { name, secret, headers, body } = vector;
    const plain = isGenuine(Buffer.from(body), lowered(headers)["x-webhook-signature"], secret);
    assert.equal(plain ? "good" : "does not fit", vector.plain, name);
    assert.equal(isGenuine(body, headers["X-Webhook-Signature"], secret), plain, `${name}, as a text`);
    for (const fields of [headers, lowered(headers), new Headers(headers)]) {
      assert.equal(standard(vector, fields), vector.standard, name);
    }
  }
});

test("a timestamp may differ by the tolerance", () => {
  const at = Number(good.headers["webhook-timestamp"]);
  for (const [offset, expected] of [[300, "good"], [301, "too old"], [-300, "good"], [-301, "too_new"]]) {
    assert.equal(standard(good, good.headers, { now: at + offset }), expected);
  }
  assert.equal(standard(good, good.headers, { now: at + 11, tolerance: 10 }), "too old");
});

test("one of several signatures has to fit", () => {
  const [fits, other] = [good.headers["webhook-signature"], `v1,${"A".repeat(43)}=`];
  for (const signatures of [`${other} ${fits}`, `${fits} ${other}`, `v2,x ${fits} v1,short`, ` ${fits} `]) {
    assert.equal(withField("webhook-signature", signatures), "good", signatures);
  }
  assert.equal(withField("webhook-signature", `${other} ${other}`), "does not fit");
});

test("a malformed field is named", () => {
  const v2 = good.headers["webhook-signature"].replace("v1", "v2");
  for (const signature of ["", "v1,", v2, "v1,AAAA", `v1,${"A".repeat(42)}B=`]) {
    assert.equal(withField("webhook-signature", signature), "malformed", signature);
  }
  for (const timestamp of ["", "-1", "+1", "1.5", " 1", "1\n", "٠", "18446744073709551616", "9".repeat(5_000)]) {
    assert.equal(withField("webhook-timestamp", timestamp), "malformed", timestamp.slice(0, 20));
  }
  for (const timestamp of ["18446744073709551615", `${"0".repeat(5_000)}1`]) {
    assert.equal(withField("webhook-timestamp", timestamp), "does not fit", timestamp.slice(0, 20));
  }
});

test("a field stands exactly once", () => {
  const twice = [good.headers["webhook-id"], good.headers["webhook-id"]];
  assert.equal(withField("webhook-id", twice), "malformed");
  assert.equal(withField("Webhook-Id", twice[0]), "malformed");
  assert.equal(withField("webhook-id", [twice[0]]), "good");
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
    assert.equal(withField(name, undefined), "missing");
    assert.equal(withField(name, []), "missing");
  }
});

test("a plain signature is 64 hexadecimal digits", () => {
  const { body, secret, headers } = good;
  const sig = headers["X-Webhook-Signature"];
  assert.ok(isGenuine(body, sig.toUpperCase(), secret));
  assert.ok(isGenuine(new Uint8Array(Buffer.from(body)), sig, secret));
  const wrong = [undefined, null, "", [sig], sig.slice(1), `${sig}0`, `${sig}\n`, `sha256=${sig}`, `${sig.slice(0, -1)}g`];
  for (const signature of wrong) assert.equal(isGenuine(body, signature, secret), false, inspect(signature));
});

test("a parsed body is the caller's mistake", () => {
  for (const body of [{ event: "call.completed" }, undefined, null]) {
    assert.throws(() => isGenuine(body, "", good.secret), { code: "bad_body", fault: "caller" });
    assert.throws(() => verifyStandard(body, good.headers, good.secret), { code: "bad_body", fault: "caller" });
  }
});

test("a secret is refused without being quoted", () => {
  const text = good.secret.slice("whsec_".length);
  const wrong = [
    [undefined, "no_prefix"], [text, "no_prefix"], [`whsec_${text}\n`, "not_base64"], [`whsec_${text.slice(0, -1)}`, "not_base64"],
    [`whsec_${text.replaceAll("+", "-").replaceAll("/", "_")}`, "not_base64"], ["whsec_", "bad_length"],
    ["whsec_AAAA", "bad_length"], [`whsec_${"A".repeat(88)}`, "bad_length"], ["whsec_é", "not_base64"],
  ];
  for (const [secret, code] of wrong) {
    const expected = (error) =>
      error.name === "SecretError" && error.code === code && error.fault === "operator" && !inspect(error).includes(text.slice(0, 20));
    assert.throws(() => isGenuine("", "", secret), expected, secret);
  }
});
