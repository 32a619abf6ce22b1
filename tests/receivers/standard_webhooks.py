"""Checks events with PyPI's standardwebhooks. A line has the body and the values of webhook-id, webhook-timestamp and
webhook-signature in base64, and the secret."""

import base64
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    *encoded, secret = line.split()
    body, *fields = (base64.b64decode(part) for part in encoded)
    names = ["webhook-id", "webhook-timestamp", "webhook-signature"]
    headers = {name: field.decode() for name, field in zip(names, fields)}
    try:
        Webhook(secret).verify(body, headers)
        print("true")
    except WebhookVerificationError:
        print("false")
