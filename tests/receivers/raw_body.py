"""Checks X-Webhook-Signature over the raw body. A line has the body in base64, the signature and the secret."""

import base64
import hashlib
import hmac
import sys

for line in sys.stdin:
    body, signature, secret = line.split()
    expected = hmac.new(secret.encode(), base64.b64decode(body), hashlib.sha256).hexdigest()
    print("true" if hmac.compare_digest(expected, signature) else "false")
