"""Signatures of webhooks. In: secret, time, body. Out: the headers' values; and the check that a receiver makes."""

import hashlib
import hmac

SIGNATURE = "X-Platefleet-Signature"
TIMESTAMP = "X-Platefleet-Timestamp"
DELIVERY = "X-Platefleet-Delivery"


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`sha256=` and the hex HMAC-SHA256 of `<timestamp>.<body>`; the time is in Unix seconds."""
    told = str(timestamp).encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()


def is_signed(secret: str, timestamp: str, body: bytes, given: str, now: float, within_s: float = 300.0) -> bool:
    """What a receiver checks: the signature fits, and the message is not an old one sent again."""
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > within_s:
        return False
    return hmac.compare_digest(signature(secret, int(timestamp), body), given)
