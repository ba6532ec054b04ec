"""The native protocol: signed JSON in, signed JSON out."""

from gateway.dialects.native.dialect import NativeDialect
from gateway.dialects.native.merchant import NativeMerchant

__all__ = ["NativeDialect", "NativeMerchant"]
