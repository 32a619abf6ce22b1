export type HeaderFields = Record<string, string | string[] | undefined> | Headers;
/**
 * Whether `X-Webhook-Signature` is the HMAC-SHA256 of the body. Compares in constant time.
 * @param {Uint8Array | string} rawBody the bytes as they came, before anything parses them
 * @param {string | string[] | null | undefined} signature the header field; `false` if there is none
 * @param {string} secret all of its text, `whsec_` included
 */
export declare function isGenuine(rawBody: Uint8Array | string, signature: string | string[] | null | undefined, secret: string): boolean;
/**
 * Verifies the three header fields of Standard Webhooks: first the signatures, in constant time, then the timestamp.
 * During a rotation the request carries a signature for each secret; one has to fit. Throws a `SignatureError` with the
 * code `missing`, `malformed`, `does_not_fit`, `too_old` or `too_new`.
 * @param {Uint8Array | string} rawBody the bytes as they came, before anything parses them
 * @param {HeaderFields} headers of Node (`request.headers`) or fetch
 * @param {string} secret all of its text, `whsec_` included
 * @param {{ tolerance?: number, now?: number }} [options] in seconds
 */
export declare function verifyStandard(rawBody: Uint8Array | string, headers: HeaderFields, secret: string, { tolerance, now }?: {
    tolerance?: number;
    now?: number;
}): void;
