"""Who sent a form: the shop it names, the mode that chooses the key, and the signature; and what a refusal is called.

Card data is refused before anything of a form is kept or shown.
"""

import logging
from collections.abc import Mapping

from gateway.core.errors import BadRequest, Fault, GatewayError, NotAuthentic, RequestConflict, StoreBusy
from gateway.dialects.systempay import fields as known
from gateway.dialects.systempay.forms import Form
from gateway.dialects.systempay.mistakes import explain
from gateway.dialects.systempay.shops import CtxMode, Shop, Shops
from gateway.dialects.systempay.signature import is_signature, signature_of, signed_text

log = logging.getLogger(__name__)

# What a core refusal is called among the form errors.
_CONFLICTS: Mapping[str, str] = {
    "jti_reused": known.TRANS_ID,
    "debt_locked": known.ORDER_ID,
    "debt_already_paid": known.ORDER_ID,
}
# ``vads_result`` of a technical error; it has no form error.
_TECHNICAL = "96"


def proved(form: Form, shops: Shops) -> tuple[Shop, dict[str, str]]:
    """Give the shop that signed a form, and the form's fields as text.

    Raises :class:`BadRequest` (999, 01, 02, 11) before the signature can be looked at, :class:`NotAuthentic` when it is
    wrong for the mode it names, and :class:`BadRequest` (11) when it is right, but the shop is in the other mode.
    """
    _check_no_card(form)
    shop = _sender(form, shops)
    mode: CtxMode = "TEST" if form.text("vads_ctx_mode") == "TEST" else "PRODUCTION"
    _check_signature(form, shop, mode)
    if mode != shop.ctx_mode:
        fix = f"this shop is asked in {shop.ctx_mode} mode: set vads_ctx_mode so and sign with the key of that mode"
        raise BadRequest((Fault("/vads_ctx_mode", known.CTX_MODE, fix),))
    return shop, {name: value.decode("utf-8") for name, value in form.vads.items()}


def _sender(form: Form, shops: Shops) -> Shop:
    """Find the shop, which with the mode chooses the key. Raises :class:`BadRequest` (01, 02, 11)."""
    names = ("vads_version", "vads_site_id", "vads_ctx_mode")
    faults = [fault for name in names if (fault := known.RULES[name].fault(name, form.text(name)))]
    shop = shops.get(form.text("vads_site_id"))
    if shop is None and not any(fault.code == known.SITE_ID for fault in faults):
        faults.append(Fault("/vads_site_id", known.SITE_ID, "no such shop here; name one of the merchant book"))
        # A portal that was pointed here before its shop was: the operator should see which.
        log.info("unknown shop", extra={"reference": form.text("vads_site_id")})
    if faults or shop is None:
        raise BadRequest(tuple(faults))
    return shop


def _check_no_card(form: Form) -> None:
    """Refuse a card sent by the shop before anything else is read, kept or shown."""
    if any(form.vads.get(name) for name in known.CARD_FIELDS):
        raise BadRequest((Fault("", known.SENSITIVE, "send no card data; the card is typed on our page alone"),))


def _check_signature(form: Form, shop: Shop, mode: CtxMode) -> None:
    """Prove that the shop sent the form, in UTF-8. Raises :class:`NotAuthentic`, explained to a test shop."""
    key = shop.site.keys.get(mode, "")
    expected = signature_of(signed_text(form.vads), key, shop.algorithm(mode)) if key else ""
    is_right = bool(key) and is_signature(expected, form.signature)
    if is_right and _is_utf8(form):
        return
    told = explain(form, shop, mode, expected) if shop.is_test else {}
    if told and is_right:
        told = {**told, "cause": "The form was sent and signed in Latin-1: send and sign it in UTF-8."}
    raise NotAuthentic("bad_signature", "sign every vads_ field as it is sent, with the key of this mode", told)


def _is_utf8(form: Form) -> bool:
    try:
        b"".join(value + b" " for value in form.vads.values()).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_USED_TODAY = f"vads_trans_id ({known.TRANS_ID}): used on this UTC day already with other fields, whatever its case; draw a new one"


def form_error(error: GatewayError) -> tuple[str, str]:
    """Give the form error's number (all of them, joined by commas) and what a developer may read of it."""
    if isinstance(error, BadRequest):
        codes = dict.fromkeys(fault.code for fault in error.faults)
        lines = (
            f"{fault.pointer.removeprefix('/') or 'form'} ({fault.code}): {fault.detail}" for fault in error.faults
        )
        return ",".join(codes), "\n".join(lines)
    if isinstance(error, NotAuthentic):
        told = error.diagnosis
        names = ("cause", "signed", "expected", "received", "first_difference", "tried")
        return known.SIGNATURE, "\n".join(f"{name}: {told[name]}" for name in names if told.get(name)) or error.fix
    if isinstance(error, RequestConflict) and error.code == "jti_reused":
        return known.TRANS_ID, _USED_TODAY
    if isinstance(error, RequestConflict):
        return _CONFLICTS.get(error.code, known.OTHER), error.fix
    return (_TECHNICAL if isinstance(error, StoreBusy) else known.OTHER), str(error)
