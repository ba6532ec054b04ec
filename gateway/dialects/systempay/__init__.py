"""The Systempay / PayZen protocol: form V2 (``vads_`` fields), and the opening of a payment by REST V4."""

from gateway.dialects.systempay.dialect import SystempayDialect

__all__ = ["SystempayDialect"]
