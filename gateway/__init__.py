"""Guichet: a hosted-payment server."""

__version__ = "0.1.0"
