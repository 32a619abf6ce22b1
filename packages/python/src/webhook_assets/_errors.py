"""What goes wrong, and who can mend it. No error contains a key, a secret, a signature or a link."""

from typing import ClassVar, Literal


class WebhookAssetsError(Exception):
    """Its text is for people, `code` for programs, `fault` for the one who can mend it."""

    fault: ClassVar[Literal["caller", "operator", "sender"]]

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.code, str(self))


class ArgumentError(WebhookAssetsError, ValueError):
    """The calling code passed a wrong argument."""

    fault = "caller"


class KeyringError(WebhookAssetsError):
    """The operator has to mend the keyring file, or has to rotate."""

    fault = "operator"


class SecretError(WebhookAssetsError):
    """The operator has to copy the webhook's secret again."""

    fault = "operator"


class SignatureError(WebhookAssetsError):
    """The link or webhook that came from outside is refused."""

    fault = "sender"
