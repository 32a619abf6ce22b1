/** What went wrong: `message` for people, `code` for programs, `fault` for the one who can mend it. No error contains a
 * key, a secret, a signature or a link. */
export class WebhookAssetsError extends Error {
  /** @type {"caller" | "operator" | "sender"} */
  fault = "caller";

  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = new.target.name;
    /** A stable name of the cause. */
    this.code = code;
  }
}

/** The calling code passed a wrong argument. */
export class ArgumentError extends WebhookAssetsError {
  /** @type {"caller"} */
  fault = "caller";
}

/** The operator has to mend the keyring file, or has to rotate. */
export class KeyringError extends WebhookAssetsError {
  /** @type {"operator"} */
  fault = "operator";
}

/** The operator has to copy the webhook's secret again. */
export class SecretError extends WebhookAssetsError {
  /** @type {"operator"} */
  fault = "operator";
}

/** The link or webhook that came from outside is refused. */
export class SignatureError extends WebhookAssetsError {
  /** @type {"sender"} */
  fault = "sender";
}
