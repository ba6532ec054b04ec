"""What no mail address is written with, at whichever door it comes in and at the one it goes out by; how a mail is known again."""

import hashlib

# For the inside of a negated character class: space, control, quote, bracket and separator. Accents are right (RFC 6531).
NEVER = r"\s@,;:<>()\[\]\"\\\x00-\x1f\x7f"
# How an encoded word begins (RFC 2047). Python's ``email`` decodes one wherever it stands, in an address too: what it hides
# could be the end of a header.
ENCODED = "=?"


def message_id(domain: str, *facts: str) -> str:
    """Derive a Message-ID (RFC 5322 section 3.6.4) from what makes a mail the one it is: tried again, it keeps its id."""
    return f"<{hashlib.sha256(chr(0).join(facts).encode()).hexdigest()[:32]}@{domain}>"
