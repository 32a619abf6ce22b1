import { isIPv4, isIPv6 } from "node:net";

import { ArgumentError, KeyringError, SignatureError } from "./errors.js";
import { Keyring, ReloadingKeyring, currentSecond } from "./keyring.js";

/** @typedef {"recording" | "transcript"} AssetKind */
/** @typedef {"txt" | "vtt" | "srt" | "md"} TranscriptFormat */

/** The longest lifetime of a link in seconds, unless the gateway is configured otherwise. */
export const LONGEST_LIFETIME = 86_400;

/** How far the clocks of minter and gateway may differ, in seconds. */
const CLOCK_SKEW = 300;

/** The longest base URL, in characters. */
const LONGEST_BASE = 1_024;

const CANONICAL_ID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/** A signed link. As a text, and in JSON, it is the URL; when it is logged, the URL, which is a secret, is hidden. */
export class SignedUrl {
  #url;

  /**
   * @param {string} url
   * @param {number} expires
   * @param {string} keyId
   */
  constructor(url, expires, keyId) {
    this.#url = url;
    /** The second from which the link has expired. */
    this.expires = expires;
    /** The id of the key that signed it. */
    this.keyId = keyId;
    Object.freeze(this);
  }

  get url() {
    return this.#url;
  }

  toString() {
    return this.#url;
  }

  toJSON() {
    return this.#url;
  }
}

/** Mints signed links below one public base URL. */
export class Minter {
  #base;
  #keys;
  #longest;

  /**
   * @param {string} baseUrl scheme, host and path: `https://app.example.com/api`
   * @param {Keyring | ReloadingKeyring} keys
   * @param {{ longestLifetime?: number }} [options] in seconds; the gateway must be configured to accept longer ones
   */
  constructor(baseUrl, keys, { longestLifetime = LONGEST_LIFETIME } = {}) {
    if (!(keys instanceof Keyring) && !(keys instanceof ReloadingKeyring)) {
      throw new ArgumentError("bad_keys", "a minter takes a Keyring or a ReloadingKeyring");
    }
    this.#base = parseBase(baseUrl);
    this.#keys = keys;
    this.#longest = longestLifetime;
  }

  /**
   * A link to the recording or transcript of call `id` that is valid for `lifetime` seconds from now.
   * @param {AssetKind} kind
   * @param {string} id the call's UUID, with hyphens
   * @param {number} lifetime
   * @param {{ format?: TranscriptFormat, now?: number }} [options] `format` opens a transcript as text, captions,
   *   subtitles or Markdown
   */
  mint(kind, id, lifetime, { format, now = currentSecond() } = {}) {
    const [uuid, suffix] = [parseId(kind, id), parseFormat(kind, format)];
    if (typeof lifetime !== "number" || !Number.isFinite(lifetime)) {
      throw new ArgumentError("bad_lifetime", "a lifetime is a number of seconds");
    }
    if (lifetime > this.#longest) {
      const message = `a link may live at most ${this.#longest} s, not ${lifetime} s`;
      throw new ArgumentError("too_long", message);
    }
    if (lifetime < 1) throw new ArgumentError("too_short", "a link lives at least one second");
    const expires = now + Math.floor(lifetime);
    if (!Number.isSafeInteger(now) || now < 0 || !Number.isSafeInteger(expires)) {
      throw new ArgumentError("bad_now", "`now` is a whole number of seconds since 1970 (milliseconds are not)");
    }
    const keyring = this.#keys instanceof ReloadingKeyring ? this.#keys.current(now) : this.#keys;
    const key = keyring.signingKey(now, expires);
    if (!key) {
      const why = "each has not started yet or ends before the link would";
      const remedy = "see `webhook-assets keys list`, then `keys rotate`";
      throw new KeyringError("no_key", `no key of the ring may sign this: ${why}; ${remedy}`);
    }
    const sig = key.sign(messageOf(kind, uuid, expires)).toString("hex");
    const url = `${this.#base}/webhook-assets/${kind}/${uuid}?expires=${expires}&sig=${sig}${suffix}`;
    return new SignedUrl(url, expires, key.id);
  }
}

/**
 * Verifies a link as the gateway does: its form, its signature, its time. Throws a `SignatureError` with the code
 * `expired` or `invalid_signature`.
 * @param {Keyring} keyring
 * @param {string} url
 * @param {{ now?: number, longestLifetime?: number }} [options]
 * @returns {{ kind: AssetKind, id: string, expires: number, keyId: string }}
 */
export function verifyLink(keyring, url, { now = currentSecond(), longestLifetime = LONGEST_LIFETIME } = {}) {
  const invalid = (/** @type {string} */ why) => new SignatureError("invalid_signature", `the link is refused: ${why}`);
  const [, kind, id, query] = /^[^?#]*\/webhook-assets\/(recording|transcript)\/([^/?#]*)\?([^#]*)/.exec(url) ?? [];
  if (query === undefined || !CANONICAL_ID.test(id)) throw invalid("it is no link to an asset");
  const [expires, sig] = [parameter(query, "expires"), parameter(query, "sig")];
  if (!expires || !/^(0|[1-9][0-9]{0,19})$/.test(expires)) throw invalid("`expires` is not one plain number");
  if (!sig || !/^[0-9a-f]{64}$/.test(sig)) throw invalid("`sig` is not 64 lower-case hexadecimal digits");
  const key = keyring.find(messageOf(kind, id, expires), Buffer.from(sig, "hex"), now);
  if (!key) throw invalid("the signature fits no key of the keyring");
  const second = Number(expires);
  if (second <= now) throw new SignatureError("expired", `the link expired ${now - second} s ago`);
  if (second > now + longestLifetime + CLOCK_SKEW) throw invalid("it would be good for longer than links may live");
  return { kind: /** @type {AssetKind} */ (kind), id, expires: second, keyId: key.id };
}

/**
 * The value of a parameter that stands exactly once; nothing is decoded.
 * @param {string} query
 * @param {string} name
 */
function parameter(query, name) {
  const found = query.split("&").filter((pair) => pair === name || pair.startsWith(`${name}=`));
  return found.length === 1 ? found[0].slice(name.length + 1) : null;
}

/**
 * The signed text.
 * @param {string} kind
 * @param {string} uuid
 * @param {number | string} expires
 */
const messageOf = (kind, uuid, expires) => ["webhook-assets/v1", kind, uuid, expires].join("\n");

/**
 * @param {string} kind
 * @param {string} id
 */
function parseId(kind, id) {
  if (kind !== "recording" && kind !== "transcript") {
    throw new ArgumentError("bad_kind", "an asset is a `recording` or a `transcript`");
  }
  const uuid = typeof id === "string" ? id.toLowerCase() : "";
  if (!CANONICAL_ID.test(uuid)) {
    throw new ArgumentError("bad_id", "a call's id is a UUID with hyphens, e.g. 550e8400-e29b-41d4-a716-446655440000");
  }
  return uuid;
}

/**
 * @param {string} kind
 * @param {string} [format]
 */
function parseFormat(kind, format) {
  if (format === undefined) return "";
  if (kind !== "transcript" || !["txt", "vtt", "srt", "md"].includes(format)) {
    throw new ArgumentError("bad_format", "the format of a transcript is `txt`, `vtt`, `srt` or `md`; a recording has none");
  }
  return `&format=${format}`;
}

/** @param {string} text */
function parseBase(text) {
  const fail = (/** @type {string} */ what) =>
    new ArgumentError("bad_base_url", `a base URL ${what}, e.g. https://app.example.com/api`);
  const url = String(text).replace(/\/+$/, "");
  const [, host, prefix] = /^https?:\/\/([^/?#]*)(.*)$/s.exec(url) ?? [];
  if (host === undefined) throw fail("starts with https:// or http://");
  if (!isHost(host)) throw fail("names a host and no user");
  const segments = /^(\/(?!\.{1,2}(\/|$))([A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)*$/;
  if (url.length > LONGEST_BASE || !segments.test(prefix)) throw fail("is scheme, host and path alone");
  return url;
}

/**
 * Whether the text is a name or an address with an optional port.
 * @param {string} text
 */
function isHost(text) {
  const [whole, address, name, port] = /^(?:\[([0-9A-Fa-f:.]*)\]|([A-Za-z0-9._-]*))(?::([0-9]+))?$/.exec(text) ?? [];
  if (whole === undefined || Number(port ?? 0) > 65_535) return false;
  if (address !== undefined) return isIPv6(address);
  // Clients read a name whose last label is a number as an IPv4 address.
  const last = name.replace(/\.+$/, "").split(".").at(-1) ?? "";
  const isAddress = /^([0-9]+|0x[0-9a-f]*)$/i.test(last);
  return /[A-Za-z0-9]/.test(name) && (!isAddress || isIPv4(name));
}
