"""What TIPI by URL and the PayFiP web service have in common: clients, field rules, anomalies and notifications.

Rules and their order follow the public part of the DGFiP's PayFiP integration guide (2019 to 2021) and what published
clients of both variants send and read.
"""

from gateway.dialects.treasury.anomalies import Anomalies, Anomaly, Row
from gateway.dialects.treasury.clients import Client, Clients, Debt, Terms
from gateway.dialects.treasury.fields import (
    ACTIVATION,
    ECHOED,
    Fields,
    Variant,
    Wish,
    check,
    check_address,
    find_client,
)
from gateway.dialects.treasury.notices import (
    FORM,
    OUTCOMES,
    SPARED,
    Notifying,
    form,
    joined,
    last_night,
    local_date,
    local_time,
)

__all__ = [
    "ACTIVATION",
    "ECHOED",
    "FORM",
    "OUTCOMES",
    "SPARED",
    "Anomalies",
    "Anomaly",
    "Client",
    "Clients",
    "Debt",
    "Fields",
    "Notifying",
    "Row",
    "Terms",
    "Variant",
    "Wish",
    "check",
    "check_address",
    "find_client",
    "form",
    "joined",
    "last_night",
    "local_date",
    "local_time",
]
