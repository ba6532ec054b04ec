"""Refused forms are shown again after a redirect, like everything that was posted.

Browsers keep the body of a post that was answered with a page, in files that restore the tab after a crash: a card number
would lie on the payer's disk. The faults, and what was typed but number and codes, travel in the session instead, to the
one page that follows.
"""

from flask import session
from flask_wtf import FlaskForm

_PLACE = "refused"


def keep(payment: str, form: FlaskForm, typed: tuple[str, ...] = (), *, with_faults: bool = True) -> None:
    """Keep the faults of a form, and the fields of it that may be written back, for the next page of a payment."""
    faulty = [field for field in form if field.errors] if with_faults else []
    session[_PLACE] = {
        "payment": payment,
        "faults": {field.name: [str(fault) for fault in field.errors] for field in faulty},
        "typed": {name: form[name].data or "" for name in typed},
    }


def recall(payment: str, form: FlaskForm) -> None:
    """Put what was kept for this payment back into a fresh form, once.

    The page that follows may be another form's by now: a tab beside it moved on, or a time ran out on the way.
    """
    kept = session.pop(_PLACE, None)
    if not kept or kept["payment"] != payment:
        return
    for name, value in kept["typed"].items():
        if name in form:
            form[name].data = value
    for name, faults in kept["faults"].items():
        if name in form:
            form[name].errors = faults
