"""The SP Plus protocol (Caisse d'Epargne, about 2003 to 2015)."""

from gateway.dialects.spplus.dialect import SpplusDialect
from gateway.dialects.spplus.key import MerchantKey, issue_key

__all__ = ["MerchantKey", "SpplusDialect", "issue_key"]
