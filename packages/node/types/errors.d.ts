/** What went wrong: `message` for people, `code` for programs, `fault` for the one who can mend it. No error contains a
 * key, a secret, a signature or a link. */
export declare class WebhookAssetsError extends Error {
    /** A stable name of the cause. */
    code: string;
    /** @type {"caller" | "operator" | "sender"} */
    fault: "caller" | "operator" | "sender";
    /**
     * @param {string} code
     * @param {string} message
     */
    constructor(code: string, message: string);
}
/** The calling code passed a wrong argument. */
export declare class ArgumentError extends WebhookAssetsError {
    /** @type {"caller"} */
    fault: "caller";
}
/** The operator has to mend the keyring file, or has to rotate. */
export declare class KeyringError extends WebhookAssetsError {
    /** @type {"operator"} */
    fault: "operator";
}
/** The operator has to copy the webhook's secret again. */
export declare class SecretError extends WebhookAssetsError {
    /** @type {"operator"} */
    fault: "operator";
}
/** The link or webhook that came from outside is refused. */
export declare class SignatureError extends WebhookAssetsError {
    /** @type {"sender"} */
    fault: "sender";
}
