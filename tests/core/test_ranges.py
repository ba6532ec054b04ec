"""Which addresses are this machine's own."""

import pytest

from gateway.core.ranges import is_loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.255.254", "::1"])
def test_this_machine_has_addresses_of_both_versions(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["126.255.255.255", "128.0.0.1", "::2", "::", "::ffff:127.0.0.1", "localhost", ""])
def test_other_addresses_and_names_are_not_this_machine(address: str) -> None:
    assert not is_loopback(address)
