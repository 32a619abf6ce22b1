"""Mints signed links to call recordings and transcripts, follows the keyring file, and verifies webhooks."""

from ._errors import ArgumentError, KeyringError, SecretError, SignatureError, WebhookAssetsError
from ._keyring import Keyring, ReloadingKeyring, SigningKey, is_exposed
from ._links import LONGEST_LIFETIME, AssetKind, Grant, Minter, SignedUrl, TranscriptFormat, verify_link
from ._webhooks import HeaderFields, is_genuine, verify_standard

__version__ = "0.1.0"

__all__ = [
    "LONGEST_LIFETIME",
    "ArgumentError",
    "AssetKind",
    "Grant",
    "HeaderFields",
    "Keyring",
    "KeyringError",
    "Minter",
    "ReloadingKeyring",
    "SecretError",
    "SignatureError",
    "SignedUrl",
    "SigningKey",
    "TranscriptFormat",
    "WebhookAssetsError",
    "is_exposed",
    "is_genuine",
    "verify_link",
    "verify_standard",
]
