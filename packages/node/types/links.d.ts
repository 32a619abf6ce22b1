import { Keyring, ReloadingKeyring } from "./keyring.js";
export type AssetKind = "recording" | "transcript";
export type TranscriptFormat = "txt" | "vtt" | "srt" | "md";
/** @typedef {"recording" | "transcript"} AssetKind */
/** @typedef {"txt" | "vtt" | "srt" | "md"} TranscriptFormat */
/** The longest lifetime of a link in seconds, unless the gateway is configured otherwise. */
export declare const LONGEST_LIFETIME = 86400;
/** A signed link. As a text, and in JSON, it is the URL; when it is logged, the URL, which is a secret, is hidden. */
export declare class SignedUrl {
    #private;
    /** The second from which the link has expired. */
    expires: number;
    /** The id of the key that signed it. */
    keyId: string;
    /**
     * @param {string} url
     * @param {number} expires
     * @param {string} keyId
     */
    constructor(url: string, expires: number, keyId: string);
    get url(): string;
    toString(): string;
    toJSON(): string;
}
/** Mints signed links below one public base URL. */
export declare class Minter {
    #private;
    /**
     * @param {string} baseUrl scheme, host and path: `https://app.example.com/api`
     * @param {Keyring | ReloadingKeyring} keys
     * @param {{ longestLifetime?: number }} [options] in seconds; the gateway must be configured to accept longer ones
     */
    constructor(baseUrl: string, keys: Keyring | ReloadingKeyring, { longestLifetime }?: {
        longestLifetime?: number;
    });
    /**
     * A link to the recording or transcript of call `id` that is valid for `lifetime` seconds from now.
     * @param {AssetKind} kind
     * @param {string} id the call's UUID, with hyphens
     * @param {number} lifetime
     * @param {{ format?: TranscriptFormat, now?: number }} [options] `format` opens a transcript as text, captions,
     *   subtitles or Markdown
     */
    mint(kind: AssetKind, id: string, lifetime: number, { format, now }?: {
        format?: TranscriptFormat;
        now?: number;
    }): SignedUrl;
}
/**
 * Verifies a link as the gateway does: its form, its signature, its time. Throws a `SignatureError` with the code
 * `expired` or `invalid_signature`.
 * @param {Keyring} keyring
 * @param {string} url
 * @param {{ now?: number, longestLifetime?: number }} [options]
 * @returns {{ kind: AssetKind, id: string, expires: number, keyId: string }}
 */
export declare function verifyLink(keyring: Keyring, url: string, { now, longestLifetime }?: {
    now?: number;
    longestLifetime?: number;
}): {
    kind: AssetKind;
    id: string;
    expires: number;
    keyId: string;
};
