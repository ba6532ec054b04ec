"""What these pages promise to people with disabilities, and whom to tell when something bars the way.

The proofs behind it are listed in ``docs/accessibility.md``. Linked from each page of the payer (RGAA 4.1, declaration).
"""

from flask import Blueprint, g, render_template

from gateway.core.languages import LANGUAGES
from gateway.web import services
from gateway.web.languages import choose_language

statement = Blueprint("statement", __name__)


@statement.get("/accessibility")
@statement.get("/accessibility/<merchant>")
def accessibility(merchant: str = "") -> str:
    """Show the statement, with the contact of the service that is being paid where the address names one."""
    choose_language("")
    known = services().settings.merchants.get(merchant)
    return render_template(
        "page/accessibility.html",
        payment=None,
        payee=known.payee if known else None,
        page="accessibility",
        base="",
        language=g.language,
        languages=[(code, name, f"?lang={code}") for code, name in LANGUAGES],
        test_mode=False,
    )
