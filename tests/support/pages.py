"""Every page a payer can be shown, by name, with the way to have it shown: for the proofs, the weights and the gallery.

A payment is brought where it must be by the real verbs, and the real application renders the page; only what a payer
must have typed or pressed is done in the browser. A template without a state here fails a test.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.factories import CHALLENGE, CO_BADGED_CHALLENGE, FRICTIONLESS, FUNDS, REFUSED_BY_3DS, SILENT_LOST
from tests.support import situations as here
from tests.support.theatre import Theatre

# A payee whose names are as long as the merchant book allows, and one that takes no payments; their protocol needs no keys.
_MORE_PAYEES = """
[merchants.long-demo]
dialect = "tipi"
name = "Syndicat intercommunal à vocation multiple de la restauration scolaire et périscolaire des Hautes-Vallées-du-Nord"
service = "Régie de recettes prolongée des accueils de loisirs extrascolaires, de la petite enfance et du transport"
contact_email = "regie.de.recettes.prolongee.des.accueils.de.loisirs@syndicat-des-hautes-vallees-du-nord.example"
contact_phone = "01 99 00 00 00"
protocol = { numcli = "004299" }

[merchants.suspended-demo]
dialect = "tipi"
name = "Commune de Démonstration"
contact_phone = "01 99 00 00 00"
suspended = true
protocol = { numcli = "004298" }
"""
SHOP = "http://127.0.0.1:8001/**"


@dataclass(frozen=True, slots=True)
class State:
    """A page as a payer may find it.

    :ivar template: the file that draws it
    :ivar reach: prepares it and gives its address, or its path
    :ivar act: what the payer then does on the page it comes to, until the state is there
    """

    name: str
    template: str
    reach: Callable[[Theatre], str]
    act: Callable[[Page], object] | None = None

    @property
    def page(self) -> str:
        """What the ``data-page`` it carries begins with."""
        return Path(self.template).stem

    def show(self, page: Page, theatre: Theatre, language: str) -> None:
        """Have a browser show it; the shop must not be there (:func:`no_shop`)."""
        address = self.reach(replace(theatre, language=language))
        joint = "&" if "?" in address else "?"
        whole = address if "://" in address else theatre.base_url + address
        # A page that sends its payer on at once is never loaded for good.
        page.goto(f"{whole}{joint}lang={language}", wait_until="commit" if self.page == "leaving" else "load")
        if self.act:
            self.act(page)
        page.wait_for_selector(f'main[data-page^="{self.page}"]')
        if self.act:
            # Only then has its script run: what it hides is still there before.
            page.wait_for_load_state()


def with_more_payees(home: Path) -> Path:
    """Add the payees that some states need to a home's book."""
    book = home / "config/merchants.toml"
    book.write_text(book.read_text("utf-8") + _MORE_PAYEES, "utf-8")
    return home


def no_shop(page: Page) -> None:
    """Answer for the shop that there is nothing to show: a browser sent there stays on its page."""
    page.context.route(SHOP, lambda route: route.fulfill(status=204))


# What a payer does on a page.


def _press_pay(page: Page) -> None:
    page.locator('button[value="pay"]').click()
    page.locator("#faults").wait_for()


def _type_half_a_code(page: Page) -> None:
    page.locator("#code").fill("000 00")
    page.locator('button[value="confirm"]').click()
    page.locator("#faults").wait_for()


def _type_a_co_badged_card(page: Page) -> None:
    page.locator("#number").fill(CO_BADGED_CHALLENGE)
    expect(page.locator("#brand-name")).to_have_text("CB / Visa")


CARD, BANK, PAID, REFUSED = "page/card.html", "bank/challenge.html", "page/paid.html", "page/refused.html"

STATES = (
    State("card", CARD, here.opened()),
    State("card-faults", CARD, here.opened(), _press_pay),
    State("card-two-brands", CARD, here.opened(), _type_a_co_badged_card),
    State("card-last-try", CARD, here.last_try),
    State("card-many-debts", CARD, here.many_debts),
    State("card-instalments", CARD, here.instalments),
    State("card-long-names", CARD, here.long_names),
    State("card-systempay", CARD, lambda theatre: here.at(theatre, here.come(theatre, "systempay"))),
    State("review", "page/review.html", here.entered(FRICTIONLESS)),
    State("challenge", BANK, here.entered(CHALLENGE)),
    State("challenge-wrong-code", BANK, here.wrong_code),
    State("challenge-half-a-code", BANK, here.entered(CHALLENGE), _type_half_a_code),
    State("waiting", "page/waiting.html", here.asked(SILENT_LOST)),
    State("being-checked", "page/waiting.html", here.waiting_long),
    State("paid", PAID, here.asked(FRICTIONLESS)),
    State("paid-in-a-popup", PAID, here.paid_by("tipi")),
    State("paid-sent-back", PAID, here.sent_back),
    State("leaving", "page/leaving.html", here.leaving),
    State("refused", REFUSED, here.asked(FUNDS)),
    State("refused-by-authentication", REFUSED, here.entered(REFUSED_BY_3DS)),
    State("refused-for-good", REFUSED, here.refused_for_good),
    State("cancelled", "page/cancelled.html", here.cancelled),
    State("expired", "page/expired.html", here.expired),
    State("error-not-found", "page/error.html", lambda _: "/p/nowhere"),
    State("error-other-device", "page/error.html", here.elsewhere),
    State("error-debt-paid", "page/error.html", here.debt_paid),
    State("error-debt-locked", "page/error.html", here.debt_locked),
    State("error-suspended", "page/error.html", here.suspended),
    State("error-wrong-link", "page/error.html", lambda _: "/l/nowhere"),
    State("link-payable", "page/link.html", here.link_payable),
    State("link-elsewhere", "page/link.html", here.link_elsewhere),
    State("link-paid", "page/link.html", here.link_paid),
    State("link-past", "page/link.html", here.link_past),
    State("link-revoked", "page/link.html", here.link_revoked),
    State("verify-genuine", "page/verify.html", here.to_verify),
    State("verify-forged", "page/verify.html", lambda _: "/v/forged"),
    State("accessibility", "page/accessibility.html", lambda _: "/accessibility/mairie-demo"),
    State("ticket", "ticket/ticket.html", here.ticket),
)


def templates(folder: Path) -> set[str]:
    """List the templates that are pages of the payer, as ``State.template`` names them; frames and parts are none."""
    files = [file for room in ("page", "bank") for file in (folder / room).glob("*.html")]
    return {f"{file.parent.name}/{file.name}" for file in files if file.name != "layout.html" and file.name[0] != "_"}
