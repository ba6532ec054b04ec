"""The service's description (WSDL and its three schemas), naming the address under which this server is reached."""

import html
import re
from collections.abc import Mapping
from importlib.resources import files

from gateway.dialects import HttpReply

SERVICE = "/tpa/services/securite"
# The address printed in the guide; on the real service its imports did not resolve.
GUIDE_SERVICE = "/tpa/services/mas_securite/contrat_paiement_securise/PaiementSecuriseService"

_SCHEMAS = tuple(f"PaiementSecuriseService_schema{number}.xsd" for number in (1, 2, 3))

# Saved copies of the description name their schemas relatively, beside either address.
SCHEMA_PATHS: Mapping[str, str] = {
    f"{service.rpartition('/')[0]}/{name}": name for service in (SERVICE, GUIDE_SERVICE) for name in _SCHEMAS
}

_HEADERS = {"Content-Type": "text/xml;charset=utf-8"}


class Description:
    """The four documents, made once for one origin.

    :param origin: clients call whatever address the WSDL publishes, so it must be ours as the world sees it
    """

    def __init__(self, origin: str) -> None:
        names = ("PaiementSecuriseService.wsdl", *_SCHEMAS)
        folder, written = files(__package__), html.escape(origin)
        texts = (folder.joinpath(name).read_text("utf-8") for name in names)
        self._wsdl, *schemas = (text.replace("@ORIGIN@", written).encode() for text in texts)
        self._schemas = dict(zip(_SCHEMAS, schemas, strict=True))

    def asked(self, path: str, query: str) -> HttpReply | None:
        """Give the document a GET asks for: ``?wsdl``, ``?xsd=1`` to ``3`` in any case, or a schema by its name.

        ``None`` when it asks for none of them.
        """
        if path in SCHEMA_PATHS:
            return HttpReply(200, _HEADERS, self._schemas[SCHEMA_PATHS[path]])
        pairs = (pair.partition("=") for pair in query.split("&"))
        asked = {name.lower(): value for name, _, value in pairs}
        if "wsdl" in asked:
            return HttpReply(200, _HEADERS, self._wsdl)
        if re.fullmatch("[123]", asked.get("xsd", "")):
            return HttpReply(200, _HEADERS, self._schemas[_SCHEMAS[int(asked["xsd"]) - 1]])
        return None
