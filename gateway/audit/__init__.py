"""Who did what, and how it shows that somebody has rewritten it.

What changes a payment is written down by the transaction itself (``gateway.store.audit``); here are the acts that change
none (``Auditor``), the worker's chain (``sealing``), what leaves the database so that its end cannot be cut off
(``anchors``), what a start was told (``book``), and the inspection of it all (``inspecting``).
"""

from gateway.audit.anchors import Anchor, Anchors
from gateway.audit.auditor import Auditor
from gateway.audit.inspecting import Inspection
from gateway.audit.sealing import Sealer

__all__ = ["Anchor", "Anchors", "Auditor", "Inspection", "Sealer"]
