import { createHmac, timingSafeEqual } from "node:crypto";

import { ArgumentError, SecretError, SignatureError } from "./errors.js";
import { currentSecond } from "./keyring.js";

/** @typedef {Record<string, string | string[] | undefined> | Headers} HeaderFields */

const PREFIX = "whsec_";

/** A signature of Standard Webhooks: 32 bytes in canonical base64. */
const SIGNATURE = /^v1,([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)$/;

/**
 * Whether `X-Webhook-Signature` is the HMAC-SHA256 of the body. Compares in constant time.
 * @param {Uint8Array | string} rawBody the bytes as they came, before anything parses them
 * @param {string | string[] | null | undefined} signature the header field; `false` if there is none
 * @param {string} secret all of its text, `whsec_` included
 */
export function isGenuine(rawBody, signature, secret) {
  parseSecret(secret);
  const expected = createHmac("sha256", secret).update(bytesOf(rawBody)).digest();
  if (typeof signature !== "string" || !/^[0-9a-f]{64}$/i.test(signature)) return false;
  return timingSafeEqual(Buffer.from(signature, "hex"), expected);
}

/**
 * Verifies the three header fields of Standard Webhooks: first the signatures, in constant time, then the timestamp.
 * During a rotation the request carries a signature for each secret; one has to fit. Throws a `SignatureError` with the
 * code `missing`, `malformed`, `does_not_fit`, `too_old` or `too_new`.
 * @param {Uint8Array | string} rawBody the bytes as they came, before anything parses them
 * @param {HeaderFields} headers of Node (`request.headers`) or fetch
 * @param {string} secret all of its text, `whsec_` included
 * @param {{ tolerance?: number, now?: number }} [options] in seconds
 */
export function verifyStandard(rawBody, headers, secret, { tolerance = 300, now = currentSecond() } = {}) {
  const [key, body] = [parseSecret(secret), bytesOf(rawBody)];
  const id = onlyValue(headers, "webhook-id");
  const timestamp = onlyValue(headers, "webhook-timestamp");
  const signatures = onlyValue(headers, "webhook-signature");
  if (!/^[0-9]+$/.test(timestamp) || BigInt(timestamp) > 0xffff_ffff_ffff_ffffn) {
    throw refused("malformed", "the header field webhook-timestamp is not one number of seconds since 1970");
  }
  const macs = signatures.split(" ").flatMap((text) => SIGNATURE.exec(text)?.[1] ?? []);
  if (macs.length === 0) {
    throw refused("malformed", "the header field webhook-signature has no signature of the form v1,<base64 of 32 bytes>");
  }
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // Compares every signature, without stopping at a match.
  if (macs.filter((mac) => timingSafeEqual(Buffer.from(mac, "base64"), expected)).length === 0) {
    const remedy = "compare the bytes as they came, before they are parsed";
    throw refused("does_not_fit", `no signature fits: the secret is another one, or the body was changed (${remedy})`);
  }
  const age = now - Number(timestamp);
  if (age > tolerance) {
    throw refused("too_old", `the signature fits but its timestamp is ${age} s old: this is a replay, or a clock is wrong`);
  }
  if (-age > tolerance) {
    throw refused("too_new", `the signature fits but its timestamp is ${-age} s in the future: a clock is wrong`);
  }
}

/**
 * @param {string} code
 * @param {string} message
 */
const refused = (code, message) => new SignatureError(code, message);

/**
 * The key of Standard Webhooks: the bytes behind `whsec_`.
 * @param {string} secret
 */
function parseSecret(secret) {
  if (typeof secret !== "string" || !secret.startsWith(PREFIX)) {
    throw new SecretError("no_prefix", `a webhook secret begins with ${PREFIX}; copy all of it`);
  }
  const [text, bytes] = [secret.slice(PREFIX.length), Buffer.from(secret.slice(PREFIX.length), "base64")];
  if (bytes.toString("base64") !== text) {
    const remedy = "copy all of it, without spaces";
    throw new SecretError("not_base64", `behind ${PREFIX} a webhook secret is standard base64; ${remedy}`);
  }
  if (bytes.length < 24 || bytes.length > 64) {
    const message = `a webhook secret stands for 24 to 64 bytes (32 is right); this one for ${bytes.length}`;
    throw new SecretError("bad_length", message);
  }
  return bytes;
}

/** @param {Uint8Array | string} rawBody */
function bytesOf(rawBody) {
  if (typeof rawBody === "string" || rawBody instanceof Uint8Array) return rawBody;
  throw new ArgumentError("bad_body", "the raw body is the bytes as they came, not what a parser made of them");
}

/**
 * The value of a header field that must occur exactly once; two values would be ambiguous.
 * @param {HeaderFields} headers
 * @param {string} name
 */
function onlyValue(headers, name) {
  const fields = headers instanceof Headers ? [...headers] : Object.entries(headers);
  const values = fields.flatMap(([field, value]) => (field.toLowerCase() === name ? (value ?? []) : []));
  if (values.length === 0) throw refused("missing", `the header field ${name} is missing`);
  if (values.length > 1) throw refused("malformed", `the header field ${name} is not one line of text`);
  return values[0];
}
