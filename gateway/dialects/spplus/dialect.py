"""SP Plus: which address asks what, and every answer.

Sources: the vendor's kits of 2003 to 2010 and their readme files, the PHP manual's SPPLUS functions, and the public
modules of shops. Where they are silent the reading is a setting of :class:`~.shops.Protocol`.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from gateway import __version__
from gateway.core.errors import DeliveryFailed, GatewayError, NotFound
from gateway.core.payment import Event, PaymentResult, Recipient
from gateway.dialects import About, Command, Departure, ErrorPage, Find, House, HttpCall, HttpReply, Open, Say, Try
from gateway.dialects.addresses import parse_address
from gateway.dialects.schedule import after
from gateway.dialects.spplus import administration, notices, office, refusals
from gateway.dialects.spplus.entry import read_entry
from gateway.dialects.spplus.query import join, parameters_of
from gateway.dialects.spplus.shops import Shops
from gateway.dialects.spplus.signer import sign_remotely
from gateway.settings.merchant import Merchant

_ENTRIES = ("/paiement/init.do", "/IPaiement/initialiserPaiement.do", "/cgis-bin/spdecrypt.exe")
_ADMINISTRATIONS = ("/administration/spadm/spadminservlet", "/administration_distante/adminADistance.do")
_SIGNER = re.compile(r"/cgi-bin/hmac_[0-9]{3}\.exe", re.ASCII)

# What every kit's example prints; some shops print more around it, even after a failure of their own.
_ACKNOWLEDGEMENT = b"spcheckok"

# The bank's own schedule was never published. Seconds after each failed try, for a merchant that is no shop of ours.
_RETRY_SECONDS = (60, 5 * 60, 15 * 60, 60 * 60)


class SpplusDialect:
    """Translates SP Plus. Pure: the shops are given, the clock comes with each call."""

    name = "spplus"
    paths: tuple[str, ...] = (*_ENTRIES, "/cgi-bin/<signer>", *_ADMINISTRATIONS, office.LOGIN)
    body_max = 16 * 1024
    popup = True
    tells_first = True
    weaknesses: tuple[str, ...] = (
        "signatures cover values without separators, often only seven of them: set protocol.strict where the shop can",
        "a browser's return can be cut anew by its payer: trust the notice alone, and compare the amount",
    )

    def __init__(self, merchants: Mapping[str, Merchant], house: House) -> None:
        """Check the shops' settings. Raises :class:`SettingsError`."""
        self._shops = Shops(merchants)
        self._house = house

    def read(self, call: HttpCall, now: datetime) -> Command:
        """Check who is asking, then say what is asked.

        Raises :class:`NotAuthentic`, :class:`BadRequest`, or :class:`NotFound` for what is none of this protocol's.
        """
        if call.path in _ENTRIES and call.method in ("GET", "POST"):
            return read_entry(parameters_of(call), self._shops, self._house, now)
        if call.path in _ADMINISTRATIONS and call.method in ("GET", "POST"):
            return administration.read_order(parameters_of(call), self._shops)
        if call.path == office.LOGIN and call.method == "GET":
            return Say(office.closed(self._house.origin, _ADMINISTRATIONS[0]))
        if call.method == "GET" and _SIGNER.fullmatch(call.path):
            entry_url = self._house.origin + _ENTRIES[0]
            return Say(sign_remotely(parameters_of(call), self._shops, entry_url))
        raise NotFound("no such address in this protocol")

    def opened(self, command: Open, result: PaymentResult, page_url: str, now: datetime) -> HttpReply:  # noqa: ARG002
        """Send the payer's browser to the page."""
        return HttpReply(303, {"Location": page_url, "Cache-Control": "no-store"})

    def found(
        self,
        command: About,
        result: PaymentResult,
        page_url: str,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> HttpReply:
        """Tell the remote administration that its order was carried out."""
        return administration.found(command, result)

    def listed(self, command: Find, results: tuple[PaymentResult, ...], now: datetime) -> HttpReply:  # noqa: ARG002 - nothing ages
        """Tell the remote administration the state of a reference."""
        return administration.listed(command, results)

    def refused(self, call: HttpCall, error: GatewayError) -> HttpReply | ErrorPage:
        """Say no: by a page to the payer, by ``spadminko`` to the remote administration, else in plain text."""
        if call.path in _ADMINISTRATIONS:
            return administration.failure()
        return refusals.page(error) if call.path in _ENTRIES else refusals.text(error)

    def returned(self, result: PaymentResult, now: datetime) -> Departure | None:  # noqa: ARG002
        """Send the payer back to ``okURL`` or ``badURL``, ``urlretour``, or the shop's own address."""
        shop = self._shops.of(result.recipient)
        return notices.departure(result, shop) if shop else None

    def due(self, result: PaymentResult, event: Event) -> datetime | None:
        """Tell each state at once; a shop may have asked for fewer."""
        is_heard = self.target(result.recipient) or self.copies(result.recipient)
        return event.at if is_heard and self._etat(result, event) else None

    def confirmed(self, result: PaymentResult, event: Event) -> bytes:
        """Give the query that a notice carries, signed: it is the same over all tries.

        Raises :class:`ValueError` for an event the shop is not told of.
        """
        shop, etat = self._shops.of(result.recipient), self._etat(result, event)
        if shop is None or not etat:
            raise ValueError("this shop is not told of such an event")
        own_query = self.target(result.recipient).partition("?")[2] if shop.protocol.method == "GET" else ""
        return notices.told(result, etat, shop, own_query=own_query).encode("ascii")

    def target(self, to: Recipient) -> str:
        """Give the shop's ``urlcheck``, as it was when the payment was opened."""
        shop = self._shops.of(to)
        return to.notify_url or (shop.urlcheck if shop else "")

    def copies(self, to: Recipient) -> tuple[str, ...]:
        """Give the shop's ``urlcheck2``: a second notice of everything, with the same facts."""
        shop = self._shops.of(to)
        return (shop.protocol.urlcheck2,) if shop and shop.protocol.urlcheck2 else ()

    def delivery(self, to: Recipient, this: Try) -> HttpCall:
        """Wrap a notice: a GET with everything in the address, or the same as a form.

        Raises :class:`DeliveryFailed`, for good, when there is no usable address.
        """
        shop, is_copy = self._shops.of(to), this.target in self.copies(to)
        url = this.target if is_copy else self.target(to)
        try:
            address = parse_address(url)
        except ValueError as error:
            raise DeliveryFailed("the shop gave no usable address", again=False) from error
        headers = {"user-agent": f"Guichet/{__version__}"}
        if shop and shop.protocol.method == "POST":
            headers["content-type"] = "application/x-www-form-urlencoded"
            return HttpCall("POST", address.path, address.query, headers, this.body, url)
        query = this.body.decode("ascii")
        if shop and is_copy:
            # The signature may cover the address's own query, which is another one here.
            query = notices.signed(query.rpartition("&hmac=")[0], shop, own_query=url.partition("?")[2])
        full = join(url, query)
        return HttpCall("GET", address.path, full.partition("?")[2], headers, b"", full)

    def received(self, status: int, body: bytes) -> bool:
        """Take ``spcheckok`` anywhere in a 200 for "I have it": it proves reception only."""
        return status == 200 and _ACKNOWLEDGEMENT in body

    def retry_at(self, tries: int, now: datetime, *, merchant: str = "") -> datetime | None:
        """Try again after 1, 5, 15 and 60 minutes, or at the shop's own pace."""
        shop = self._shops.by_merchant(merchant)
        pauses = [60 * minutes for minutes in shop.protocol.retry_minutes] if shop else _RETRY_SECONDS
        return after(pauses, tries, now)

    def code(self, result: PaymentResult, event: Event) -> str:
        """Name an event by the state it tells."""
        etat = self._etat(result, event)
        return f"etat={etat}" if etat else ""

    def _etat(self, result: PaymentResult, event: Event) -> str:
        shop = self._shops.of(result.recipient)
        return notices.etat_of_event(result, event, shop) if shop else ""
