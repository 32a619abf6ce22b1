import { createHmac, createSecretKey, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

import { KeyringError } from "./errors.js";

/** The largest keyring file that is read, in bytes. */
const LARGEST_FILE = 1 << 20;

/** The bytes that a key may have. */
const [SHORTEST_KEY, LONGEST_KEY] = [16, 256];

/** The current second since 1970. */
export const currentSecond = () => Math.floor(Date.now() / 1000);

/** One key and its validity period. Its bytes are in no property. */
export class SigningKey {
  /** @type {import("node:crypto").KeyObject} */
  #secret;

  /**
   * @param {string} id 1 to 64 printable ASCII characters
   * @param {string} secret hexadecimal digits, of 16 to 256 bytes
   * @param {number} [starts] the second from which the key signs
   * @param {number | null} [ends] the second from which the key neither signs nor verifies
   */
  constructor(id, secret, starts = 0, ends = null) {
    if (typeof id !== "string" || !/^[!-~]{1,64}$/.test(id)) {
      throw new KeyringError("bad_id", "a key id has 1 to 64 printable ASCII characters and no space");
    }
    if (typeof secret !== "string" || !/^([0-9a-fA-F]{2})*$/.test(secret)) {
      const why = "a key is written as hexadecimal digits, two for each byte";
      throw new KeyringError("bad_key", `key ${id} of the keyring is unusable: ${why}`);
    }
    const length = secret.length / 2;
    if (length < SHORTEST_KEY || length > LONGEST_KEY) {
      const why = `a key has ${SHORTEST_KEY} to ${LONGEST_KEY} bytes (32 is right); this one has ${length}`;
      throw new KeyringError("bad_key", `key ${id} of the keyring is unusable: ${why}`);
    }
    this.id = id;
    this.starts = starts;
    this.ends = ends;
    this.#secret = createSecretKey(secret, "hex");
    Object.freeze(this);
  }

  /**
   * The HMAC-SHA256 of `message`.
   * @param {string} message
   * @returns {Buffer}
   */
  sign(message) {
    return createHmac("sha256", this.#secret).update(message).digest();
  }
}

/** A set of keys: of the keys that have started, the newest signs; every key that has not ended verifies. */
export class Keyring {
  /** @param {SigningKey[]} keys at least one, with different ids */
  constructor(keys) {
    if (keys.length === 0) {
      throw new KeyringError("empty", "the keyring has no key; make one: webhook-assets keys new");
    }
    const ids = keys.map((key) => key.id);
    const twin = ids.find((id, at) => ids.indexOf(id) < at);
    if (twin !== undefined) {
      const message = `the keyring has two keys with id ${twin}; rename or remove one`;
      throw new KeyringError("repeated_id", message);
    }
    /** The keys, in the file's order. */
    this.keys = Object.freeze([...keys]);
    Object.freeze(this);
  }

  /**
   * Reads a keyring file as `webhook-assets keys` writes it.
   * @param {string} path
   */
  static read(path) {
    const text = readText(path);
    try {
      return Keyring.fromJson(text);
    } catch (error) {
      if (error instanceof KeyringError) error.message = `${path}: ${error.message}`;
      throw error;
    }
  }

  /**
   * Reads the text of a keyring file.
   * @param {string} text
   */
  static fromJson(text) {
    return new Keyring(entriesOf(text).map(toKey));
  }

  /**
   * The key that signs a link with this expiry: of the keys that have started and last as long as the link, the one that
   * started last (the later in the file if two started together). `null` if there is none.
   * @param {number} now
   * @param {number} expires
   */
  signingKey(now, expires) {
    return this.keys.reduce((/** @type {SigningKey | null} */ found, key) => {
      const lasts = key.ends === null || (key.ends > now && key.ends >= expires);
      return key.starts <= now && lasts && key.starts >= (found?.starts ?? 0) ? key : found;
    }, null);
  }

  /**
   * The key whose MAC of `message` is `mac`, unless it has ended. Tries every key in constant time.
   * @param {string} message
   * @param {Uint8Array} mac 32 bytes
   * @param {number} now
   */
  find(message, mac, now) {
    const fits = this.keys.filter((key) => {
      const same = timingSafeEqual(key.sign(message), mac);
      return same && (key.ends === null || key.ends > now);
    });
    return fits.at(-1) ?? null;
  }
}

/** The keyring of a file, read again while the process runs, so that it follows `webhook-assets keys rotate`. */
export class ReloadingKeyring {
  #path;
  #keyring;
  #readFor = -1;
  /** @type {KeyringError | null} */
  #problem = null;

  /**
   * Reads the file for the first time; throws if it cannot be used.
   * @param {string} path
   */
  constructor(path) {
    this.#path = path;
    this.#keyring = Keyring.read(path);
    if (isExposed(path)) warn(`other users may read the keyring ${path}; chmod 600 it`);
  }

  /**
   * The keyring at `now`. Reads the file once for each second in which it is asked. While the file cannot be used, the
   * last good keyring stays in force, `problem` says why, and the process warns once for each cause.
   * @param {number} [now]
   */
  current(now = currentSecond()) {
    if (this.#readFor !== now) {
      this.#readFor = now;
      this.#read();
    }
    return this.#keyring;
  }

  /** Reads the file at once, for example in a health check; throws if it cannot be used. */
  reload() {
    this.#read();
    if (this.#problem) throw this.#problem;
  }

  /** Why the file could not be used when it was last read; `null` if it could. */
  get problem() {
    return this.#problem;
  }

  #read() {
    const before = this.#problem?.message;
    try {
      this.#keyring = Keyring.read(this.#path);
      this.#problem = null;
    } catch (error) {
      if (!(error instanceof KeyringError)) throw error;
      this.#problem = error;
      if (error.message !== before) warn(`${error.message} (the keyring that was read before stays in force)`);
    }
  }
}

/** @param {string} message */
const warn = (message) => process.emitWarning(message, { type: "KeyringWarning" });

/**
 * Whether more users than necessary can read the file, as the gateway judges it: root's file that this user reads through
 * its group is fine, because Kubernetes mounts secrets that way.
 * @param {string} path
 */
export function isExposed(path) {
  const file = statSync(path, { throwIfNoEntry: false });
  if (!file || !process.geteuid || !process.getegid || !process.getgroups) return false;
  const others = file.mode & 0o077;
  const isMember = [process.getegid(), ...process.getgroups()].includes(file.gid);
  const isMountedSecret = file.uid === 0 && process.geteuid() !== 0 && isMember;
  return others !== 0 && !(others === 0o040 && isMountedSecret);
}

/** @param {string} why */
const damaged = (why) =>
  new KeyringError("damaged", `the keyring file is damaged: ${why}; restore it from a replica`);

/** @param {string} path */
function readText(path) {
  try {
    const { size } = statSync(path);
    if (size > LARGEST_FILE) throw damaged(`it has ${size} bytes, a keyring at most ${LARGEST_FILE}`);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof KeyringError) throw error;
    const code = /** @type {NodeJS.ErrnoException} */ (error).code;
    if (code === "ENOENT") {
      const remedy = `make one: webhook-assets keys new --keys ${path}`;
      throw new KeyringError("missing", `there is no keyring at ${path}; ${remedy}`);
    }
    const message = `the keyring ${path} cannot be read (${code}); give this user read permission`;
    throw new KeyringError("unreadable", message);
  }
}

/**
 * The entries of a file's text, whose fields are known and are texts. Errors name the place, never the text there: it
 * may be a key.
 * @param {string} text
 * @returns {Record<string, string | null>[]}
 */
function entriesOf(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw damaged("it is not JSON");
  }
  const unlike = (/** @type {string} */ what) => damaged(`${what} is not as \`webhook-assets keys\` writes it`);
  if (!isObject(file) || !hasOnly(file, ["version", "keys"]) || !Array.isArray(file.keys)) throw unlike("it");
  if (!Number.isSafeInteger(file.version)) throw unlike("its version");
  file.keys.forEach((/** @type {unknown} */ entry, /** @type {number} */ at) => {
    if (!isEntry(entry)) throw unlike(`key ${at + 1}`);
  });
  // JSON.parse keeps the last of two fields with one name, and takes 1.0 for 1. Without its texts, the file shows both.
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, "");
  if (/[.e]/i.test(bare)) throw unlike("its version");
  const kept = [file, ...file.keys].reduce((sum, object) => sum + Object.keys(object).length, 0);
  if (bare.split(":").length - 1 !== kept) throw damaged("a field stands twice");
  if (file.version !== 1) throw damaged(`its version is ${file.version}, this package reads 1`);
  return file.keys;
}

/** @param {unknown} value */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * @param {object} object
 * @param {string[]} names
 */
const hasOnly = (object, names) => Object.keys(object).every((name) => names.includes(name));

/** @param {any} entry */
function isEntry(entry) {
  if (!isObject(entry) || !hasOnly(entry, ["id", "secret", "created", "starts", "ends"])) return false;
  const dates = [entry.created, entry.starts, entry.ends];
  const fit = dates.every((date) => (date ?? null) === null || (typeof date === "string" && secondOf(date) !== null));
  return fit && typeof entry.id === "string" && typeof entry.secret === "string";
}

/** @param {Record<string, string | null>} entry */
function toKey({ id, secret, starts, ends }) {
  const second = (/** @type {string | null | undefined} */ date) => (date ? secondOf(date) : null);
  return new SigningKey(id ?? "", secret ?? "", second(starts) ?? 0, second(ends));
}

/**
 * The second of a date in RFC 3339, in UTC; `null` for any other text.
 * @param {string} date
 */
function secondOf(date) {
  const parts = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d*)?(?:Z|\+00:00)$/.exec(date);
  if (!parts) return null;
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number);
  if (year < 1970 || hour > 23 || minute > 59 || second > 60) return null;
  const midnight = new Date(Date.UTC(year, month - 1, day));
  if (midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return null;
  return midnight.getTime() / 1000 + hour * 3600 + minute * 60 + Math.min(second, 59);
}
