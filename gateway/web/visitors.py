"""Who may come to a payer's page: one browser for each live payment, one value for each field.

Runs before every view of the pages. A browser is known by a random value in the session's cookie, which is
``__Host-`` and ``Secure`` behind https: no other site, and no other host of this one, can set it.
"""

import secrets
from datetime import timedelta

from flask import abort, g, request, session

from gateway.core.errors import OpenedElsewhere
from gateway.web import services

# A cookie is sent anew when it is this old, not with each page: signing it took 4 % of a page's time.
SESSION_RENEWED = timedelta(hours=1)
# Long enough for the longest page, a day, and for a telephone that closes its browser to show an SMS.
SESSION_LIFE = timedelta(days=1) + SESSION_RENEWED


def guard() -> None:
    """Refuse what no form of ours sends, and whoever is not the page's own browser. Raises :class:`OpenedElsewhere`.

    What it has to look at for that is all that a page shows: the view finds it in ``g.situation``.
    """
    refuse_repeated()
    visiting = services().checkout.visiting
    payment = services().links.payment_of((request.view_args or {})["token"])
    known = session.get("browser", "")
    browser = known or (secrets.token_urlsafe(16) if request.method == "GET" else "")
    g.situation = visiting.admits(payment, browser, stays=bool(browser) and _comes_to_stay())
    if g.situation is None:
        raise OpenedElsewhere("this page belongs to another browser")
    if browser and not known:
        session["browser"] = browser
        session.permanent = True


def refuse_repeated() -> None:
    """Refuse a field that is there twice: two readers could each believe another one (OWASP ASVS 5.0, 15.3.7)."""
    for fields in (request.args, request.form):
        if any(len(values) > 1 for _, values in fields.lists()):
            abort(400, "each field may be sent once")


def _comes_to_stay() -> bool:
    """Say whether this is a person's browser at the page, by Fetch Metadata, and not a program that looks at links.

    A post carries a form's token, which only a browser that keeps cookies has. One that sends no metadata gets its
    page at its first post.
    """
    if request.method == "POST":
        return True
    is_looked_at = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    return is_looked_at and "prefetch" not in request.headers.get("Sec-Purpose", "")
