"""How the payer goes back to the shop: which address, which data, and whether by itself."""

import json
from collections.abc import Mapping
from datetime import datetime

from gateway.core.payment import PaymentResult
from gateway.dialects import Departure
from gateway.dialects.systempay import krypton, notice
from gateway.dialects.systempay.asking import LABEL_MAX, one_line
from gateway.dialects.systempay.places import Place, parse_place
from gateway.dialects.systempay.results import Outcome, outcome_of
from gateway.dialects.systempay.shops import Shop, mode_of

_MESSAGE_MAX = 255


def way_back(result: PaymentResult, shop: Shop, now: datetime) -> Departure | None:
    """Say how the payer leaves for the shop, plainly while the payment is open; ``None`` without an address.

    The address is the one of the outcome, then ``vads_url_return``, then the shop's own, then ``vads_shop_url``.
    """
    outcome = outcome_of(result)
    if result.request.wire["api"] == "rest":
        return _posted(result, shop, outcome, now)
    said: dict[str, str] = json.loads(result.request.wire["fields"])
    names = outcome.urls if outcome else ("vads_url_return",)
    url = next((said[name] for name in names if said.get(name)), shop.site.url_return or said.get("vads_shop_url", ""))
    if not url:
        return None
    told: tuple[tuple[str, str], ...] = ()
    if outcome is not None and said.get("vads_return_mode") in ("GET", "POST"):
        fields = notice.outcome_fields(result, outcome)
        told = tuple(notice.with_signature(fields, shop, mode_of(result.recipient)).items())
    return _departure(parse_place(url), told, said, outcome)


def _departure(
    place: Place, told: tuple[tuple[str, str], ...], said: Mapping[str, str], outcome: Outcome | None
) -> Departure:
    is_posted = said.get("vads_return_mode") == "POST" and bool(told)
    is_accepted = outcome is not None and outcome.is_accepted
    kind = "success" if is_accepted else "error"
    seconds = said.get(f"vads_redirect_{kind}_timeout", "") if outcome else ""
    themes = _theme(said.get("vads_theme_config", ""))
    return Departure(
        place.with_query(told) if told and not is_posted else place.shown,
        "POST" if is_posted else "GET",
        told if is_posted else (),
        after_seconds=int(seconds) if seconds else None,
        message=one_line(said.get(f"vads_redirect_{kind}_message", ""), _MESSAGE_MAX) if seconds else "",
        label=one_line(themes.get("SUCCESS_FOOTER_MSG_RETURN", ""), LABEL_MAX) if is_accepted else "",
        site=one_line(said.get("vads_shop_name", ""), LABEL_MAX),
    )


def _theme(config: str) -> Mapping[str, str]:
    """Read ``KEY=value;KEY=value``."""
    return {name: value for name, _, value in (part.partition("=") for part in config.split(";"))}


def _posted(result: PaymentResult, shop: Shop, outcome: Outcome | None, now: datetime) -> Departure | None:
    """Post the result of a REST payment to the shop's address, as the vendor's embedded form does."""
    url = result.request.return_url
    if not url:
        return None
    if outcome is None or shop.site.rest is None:
        return Departure(url)
    return Departure(url, "POST", tuple(krypton.brought_back(result, outcome, shop.site.rest, now).items()))
