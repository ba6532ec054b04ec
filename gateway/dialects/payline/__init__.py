"""Payline (Monext) web payment: SOAP operations, payer redirection and notification by URL."""

from gateway.dialects.payline.dialect import PaylineDialect

__all__ = ["PaylineDialect"]
