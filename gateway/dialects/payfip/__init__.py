"""The PayFiP web service: SOAP 1.1 in, SOAP 1.1 out, and the payer's way in and back.

Contract, order and bytes follow the service's own description (WSDL) and exchanges recorded by its public clients.
"""

from gateway.dialects.payfip.dialect import PayfipDialect, PayfipTerms

__all__ = ["PayfipDialect", "PayfipTerms"]
