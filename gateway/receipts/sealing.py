"""The seal of a ticket: a PAdES-B-B signature (ETSI EN 319 142-1) added to the finished file, without any network.

Nothing in it is drawn by lot and nothing tells the time but the receipt: the ticket of one event is one file, byte for
byte, however often it is made. pyhanko is loaded only where a ticket is sealed (extra ``pades``).
"""

from datetime import datetime
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keys import Stamp

if TYPE_CHECKING:
    from pyhanko.pdf_utils.generic import ArrayObject
    from pyhanko.pdf_utils.reader import PdfFileReader

_FIELD = "Guichet"

# What a signature is beside its certificates: 512 bytes of RSA at most, the attributes, and half of that to spare.
_CMS_BYTES = 1536


def can_seal() -> bool:
    """Say whether pyhanko is installed."""
    return find_spec("pyhanko") is not None


def seal(content: bytes, stamp: Stamp, at: datetime) -> bytes:
    """Sign a ticket.

    :param at: when the signature says it was made: the moment of the event, or the stamp's first when that is later
    """
    from pyhanko.keys import load_certs_from_pemder_data
    from pyhanko.pdf_utils.generic import ArrayObject, ByteStringObject
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign.fields import SigSeedSubFilter
    from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner
    from pyhanko.sign.signers.pdf_cms import Signer
    from pyhanko.sign.signers.pdf_signer import PdfSigningSession
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    class Writer(IncrementalPdfFileWriter):
        """Adds the signature and nothing else: no second identifier drawn by lot, no new date in the metadata."""

        @classmethod
        def _handle_id(cls, prev: "PdfFileReader") -> "ArrayObject":
            first, _ = prev.trailer["/ID"]
            return ArrayObject([first, ByteStringObject(sha256(content).digest()[:16])])

        def _update_meta(self) -> None:
            pass

    class Hand(Signer):
        """Signs with the key as it is in memory: reading it anew each time costs more than all the rest."""

        async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:  # noqa: ARG002 - pyhanko's
            return stamp.key.sign(data, PKCS1v15(), SHA256())

    class Dated(PdfSigner):
        """Dates the signature as it is told."""

        def init_signing_session(self, *args: object, **options: object) -> PdfSigningSession:
            session = super().init_signing_session(*args, **options)  # type: ignore[arg-type]  # passed on untouched
            session.system_time = max(at, stamp.valid_from)
            return session

    pem = b"".join(one.public_bytes(Encoding.PEM) for one in stamp.certificates)
    own, *others = load_certs_from_pemder_data(pem)
    chain = SimpleCertificateStore()  # type: ignore[no-untyped-call]  # it has no annotations
    chain.register_multiple(others)
    about = PdfSignatureMetadata(field_name=_FIELD, md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES)
    signer = Dated(about, Hand(cert_registry=chain, signing_cert=own))
    room = 2 * (_CMS_BYTES + sum(len(one.dump()) for one in (own, *others)))
    return bytes(signer.sign_pdf(Writer(BytesIO(content)), bytes_reserved=room).getvalue())
