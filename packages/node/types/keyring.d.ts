import { KeyringError } from "./errors.js";
/** The current second since 1970. */
export declare const currentSecond: () => number;
/** One key and its validity period. Its bytes are in no property. */
export declare class SigningKey {
    #private;
    id: string;
    starts: number;
    ends: number | null;
    /**
     * @param {string} id 1 to 64 printable ASCII characters
     * @param {string} secret hexadecimal digits, of 16 to 256 bytes
     * @param {number} [starts] the second from which the key signs
     * @param {number | null} [ends] the second from which the key neither signs nor verifies
     */
    constructor(id: string, secret: string, starts?: number, ends?: number | null);
    /**
     * The HMAC-SHA256 of `message`.
     * @param {string} message
     * @returns {Buffer}
     */
    sign(message: string): Buffer;
}
/** A set of keys: of the keys that have started, the newest signs; every key that has not ended verifies. */
export declare class Keyring {
    /** The keys, in the file's order. */
    keys: readonly SigningKey[];
    /** @param {SigningKey[]} keys at least one, with different ids */
    constructor(keys: SigningKey[]);
    /**
     * Reads a keyring file as `webhook-assets keys` writes it.
     * @param {string} path
     */
    static read(path: string): Keyring;
    /**
     * Reads the text of a keyring file.
     * @param {string} text
     */
    static fromJson(text: string): Keyring;
    /**
     * The key that signs a link with this expiry: of the keys that have started and last as long as the link, the one that
     * started last (the later in the file if two started together). `null` if there is none.
     * @param {number} now
     * @param {number} expires
     */
    signingKey(now: number, expires: number): SigningKey | null;
    /**
     * The key whose MAC of `message` is `mac`, unless it has ended. Tries every key in constant time.
     * @param {string} message
     * @param {Uint8Array} mac 32 bytes
     * @param {number} now
     */
    find(message: string, mac: Uint8Array, now: number): SigningKey | null;
}
/** The keyring of a file, read again while the process runs, so that it follows `webhook-assets keys rotate`. */
export declare class ReloadingKeyring {
    #private;
    /**
     * Reads the file for the first time; throws if it cannot be used.
     * @param {string} path
     */
    constructor(path: string);
    /**
     * The keyring at `now`. Reads the file once for each second in which it is asked. While the file cannot be used, the
     * last good keyring stays in force, `problem` says why, and the process warns once for each cause.
     * @param {number} [now]
     */
    current(now?: number): Keyring;
    /** Reads the file at once, for example in a health check; throws if it cannot be used. */
    reload(): void;
    /** Why the file could not be used when it was last read; `null` if it could. */
    get problem(): KeyringError | null;
}
/**
 * Whether more users than necessary can read the file, as the gateway judges it: root's file that this user reads through
 * its group is fine, because Kubernetes mounts secrets that way.
 * @param {string} path
 */
export declare function isExposed(path: string): boolean;
