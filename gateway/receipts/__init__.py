"""Receipts: what they say, and the PDF ticket and mails that say it.

Pure values in, bytes and messages out; sending them is a channel's business.
"""

from gateway.receipts.content import Audience, Operation, Receipt, Row

__all__ = ["Audience", "Operation", "Receipt", "Row"]
