"""A Guichet under the limits it has outside test machines, before a bank for bots."""

from dataclasses import replace

import pytest

from gateway.checkout import Checkout
from gateway.parts import Parts
from gateway.settings import LimitSettings
from tests.limits.bank import Bank


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def strict(parts: Parts, bank: Bank) -> Parts:
    """Give the parts with every limit as it is meant."""
    return guarded(parts, bank)


def guarded(parts: Parts, bank: Bank, **changes: int) -> Parts:
    desk = replace(parts.checkout.desk, acquirer=bank, limits=LimitSettings(**changes))
    return replace(parts, checkout=Checkout(desk))
