"""The address of the shopkeeper's own screens, which kits and manuals link to.

Payments are watched by the server's operator and by programs here, so there is nothing to log in to; whoever follows
the link is told where to look instead.
"""

from gateway.dialects import HttpReply

LOGIN = "/bo-war/identification.do"

_WORDS = """\
Espace commerçant

Ce serveur n'a pas d'écran de connexion. Les paiements et les notifications se consultent :
- auprès de l'exploitant du serveur (guichet payment list, guichet notice list) ;
- par l'administration à distance : {origin}{administration}
- par l'interface de programmation : {origin}/docs

There is nothing to log in to. Payments and notices are seen by the server's operator (guichet payment list, guichet
notice list), by remote administration and through the API, at the addresses above.
"""


def closed(origin: str, administration: str) -> HttpReply:
    """Answer the shopkeeper's browser."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
    return HttpReply(200, headers, _WORDS.format(origin=origin, administration=administration).encode())
