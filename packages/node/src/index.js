export { ArgumentError, KeyringError, SecretError, SignatureError, WebhookAssetsError } from "./errors.js";
export { Keyring, ReloadingKeyring, SigningKey, isExposed } from "./keyring.js";
export { LONGEST_LIFETIME, Minter, SignedUrl, verifyLink } from "./links.js";
export { isGenuine, verifyStandard } from "./webhooks.js";

/** @typedef {import("./links.js").AssetKind} AssetKind */
/** @typedef {import("./links.js").TranscriptFormat} TranscriptFormat */
/** @typedef {import("./webhooks.js").HeaderFields} HeaderFields */
