"""All a portal needs to speak Systempay (PayZen), form V2: fill and sign the form, and check what comes back.

Copy this file and ``proof.py``. Source: the vendor's "Guide d'implémentation du formulaire de paiement".
"""

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from proof import Confirmation, Departure, NotVerified

ENTRY = "/vads-payment/"

_STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "AUTHORISED": "payment.succeeded",
        "AUTHORISED_TO_VALIDATE": "payment.succeeded",
        "WAITING_AUTHORISATION": "payment.succeeded",
        "CAPTURED": "payment.remitted",
        "REFUSED": "payment.refused",
        "ABANDONED": "payment.abandoned",
        "EXPIRED": "payment.expired",
    }
)

# Transaction ids are compared without regard to case, and must be new each UTC day.
_ID_SIGNS = string.digits + string.ascii_lowercase


class Systempay:
    """One shop.

    :param site_id: eight digits
    :param key: the key of the mode, test or production
    """

    def __init__(self, origin: str, site_id: str, key: str, mode: str = "TEST") -> None:
        self.origin, self.site_id, self.mode, self._key = origin, site_id, mode, key

    def depart(self, order_id: str, amount_cents: int, more: Mapping[str, str]) -> Departure:
        """Fill the form that the payer's browser posts.

        :param order_id: letters, digits, ``-`` and ``_``, at most 32
        :param more: further fields without their prefix, such as ``cust_email`` or ``url_check``
        """
        fields = {
            "version": "V2",
            "site_id": self.site_id,
            "ctx_mode": self.mode,
            "trans_id": "".join(secrets.choice(_ID_SIGNS) for _ in range(6)),
            # UTC, whatever the shop's own clock shows.
            "trans_date": f"{datetime.now(UTC):%Y%m%d%H%M%S}",
            "amount": str(amount_cents),
            "currency": "978",
            "action_mode": "INTERACTIVE",
            "page_action": "PAYMENT",
            "payment_config": "SINGLE",
            "order_id": order_id,
            "language": "fr",
            **more,
        }
        named = {f"vads_{name}": text for name, text in fields.items()}
        return Departure(self.origin + ENTRY, {**named, "signature": self.sign(named)})

    def sign(self, fields: Mapping[str, str]) -> str:
        """Sign every ``vads_`` field, empty ones included, in the byte order of their names (HMAC-SHA-256, base64)."""
        values = [fields[name] for name in sorted(fields) if name.startswith("vads_")]
        text = "+".join([*values, self._key])
        return base64.b64encode(hmac.digest(self._key.encode(), text.encode(), hashlib.sha256)).decode()

    def read(self, fields: Mapping[str, str]) -> Confirmation:
        """Check a notification or a return, decoded as UTF-8. Raises :class:`NotVerified`."""
        signature = fields.get("signature", "")
        if not hmac.compare_digest(self.sign(fields).encode(), signature.encode("utf-8", "replace")):
            raise NotVerified("signature: not made with the key of this shop")

        def said(name: str) -> str:
            return fields.get(f"vads_{name}", "")

        if (said("site_id"), said("ctx_mode")) != (self.site_id, self.mode):
            raise NotVerified("another shop, or another mode")
        status = said("trans_status")
        kind = _STATUSES.get(status, f"status.{status}")
        return Confirmation(
            id=f"systempay-{said('trans_uuid')}-{status}-{said('operation_type')}",
            # A credit is a movement of its own, with an amount of its own: for a person to look at.
            type=kind if said("operation_type") == "DEBIT" else "payment.credited",
            sent_at=said("effective_creation_date"),
            payment=said("trans_uuid"),
            reference=said("order_id"),
            merchant=self.site_id,
            amount_cents=int(said("amount") or 0),
            currency="EUR" if said("currency") == "978" else said("currency"),
            card={
                "scheme": said("card_brand"),
                "last4": said("card_number")[-4:],
                "authorisation_number": said("auth_number"),
            },
            words=" ".join(word for word in (status, said("result"), said("auth_result")) if word),
        )
