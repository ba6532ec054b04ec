"""One merchant of the book: who it is, what it may ask for, and where its answers may go."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from gateway.core.languages import CODES
from gateway.core.money import EXPONENTS
from gateway.core.payment import Mode, Payee

MerchantId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
Language = Annotated[str, StringConstraints(pattern=f"^({'|'.join(CODES)})$")]
Currency = Annotated[str, StringConstraints(pattern=f"^({'|'.join(EXPONENTS)})$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]


class Table(BaseModel):
    """One table of a settings file: what it does not know is a fault, and values are told to nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# A payer may contest a debit for 13 months (Code monétaire et financier, L133-24), and a deferred-debit card adds two: the
# term the CNIL gives for proofs of card payments. The accounts themselves are the merchant's, and keep their own terms.
RETENTION_MONTHS = 15


class Merchant(Table):
    """One payee: who it is, what it may ask for, and where its answers may go."""

    id: MerchantId
    name: Annotated[str, StringConstraints(min_length=1, max_length=140)]
    service: str = Field("", max_length=140)
    address: tuple[str, ...] = ()
    contract: str = Field("", max_length=32)
    contact_email: str = ""
    contact_phone: str = ""
    language: Language = Field("fr", description="of its own copies")
    mode: Mode = Mode.TEST
    dialect: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,16}$")] = "native"
    # Keys may be in it: it is never printed.
    protocol: dict[str, JsonValue] = Field(default_factory=dict, repr=False)
    portal: MerchantId | None = None
    theme: dict[str, str] = Field(default_factory=dict, description="colour and logo; see gateway.web.theming")
    managers: tuple[Address, ...] = ()
    callback_urls: tuple[str, ...] = ()
    return_urls: tuple[str, ...] = ()
    notify_url: str = ""
    currency: Currency = "EUR"
    amount_cents_max: int = Field(500_000, ge=1, le=99_999_999)
    attempts_max: int = Field(3, ge=1, le=10)
    page_minutes: int = Field(30, ge=5, le=1440)
    email_rule: Literal["required", "optional", "fixed"] = "required"
    always_review: bool = False
    allow_repeat: bool = False
    suspended: bool = Field(False, description="no new payment is opened; those under way end as they would")
    retry_lock_minutes: int = Field(0, ge=0, le=1440)
    remittance: Literal["at_once", "evening"] = "at_once"
    retention_months: int = Field(RETENTION_MONTHS, ge=13, le=120, description="then what tells of payers is blanked")

    @property
    def payee(self) -> Payee:
        """The part of the book that pages, mails and tickets print."""
        return Payee(
            id=self.id,
            name=self.name,
            service=self.service,
            address=self.address,
            contract=self.contract,
            contact_email=self.contact_email,
            contact_phone=self.contact_phone,
            mode=self.mode,
            language=self.language,
        )
