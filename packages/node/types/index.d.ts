export { ArgumentError, KeyringError, SecretError, SignatureError, WebhookAssetsError } from "./errors.js";
export { Keyring, ReloadingKeyring, SigningKey, isExposed } from "./keyring.js";
export { LONGEST_LIFETIME, Minter, SignedUrl, verifyLink } from "./links.js";
export { isGenuine, verifyStandard } from "./webhooks.js";
export type AssetKind = import("./links.js").AssetKind;
export type TranscriptFormat = import("./links.js").TranscriptFormat;
export type HeaderFields = import("./webhooks.js").HeaderFields;
/** @typedef {import("./links.js").AssetKind} AssetKind */
/** @typedef {import("./links.js").TranscriptFormat} TranscriptFormat */
/** @typedef {import("./webhooks.js").HeaderFields} HeaderFields */
