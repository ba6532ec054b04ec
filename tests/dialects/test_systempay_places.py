"""Systempay's addresses: as wide as the guide, less what is not safe to follow or to call."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.core.states import Status
from gateway.dialects import Open, Try
from gateway.dialects.systempay.places import parse_place
from tests.dialects.test_systempay import HOUSE, LIVE, NOW, a_dialect, a_result, faults, form, live, live_form, read

# What shops send, and how a browser asks for it.
TAKEN = [
    ("http://127.0.0.1:8001/back#/thanks", "http://127.0.0.1:8001/back#/thanks"),
    ("http://shop.example/?route=order&id[]=7", "http://shop.example/?route=order&id%5B%5D=7"),
    ("http://192.168.1.20/shop/", "http://192.168.1.20/shop/"),
    ("http://[fd00::20]:8080/shop", "http://[fd00::20]:8080/shop"),
    ("HTTP://Shop.Example/Back", "http://shop.example/Back"),
    ("http://php_web:8080/back", "http://php_web:8080/back"),
    ("http://shop.example//a/../back", "http://shop.example//a/../back"),
    ("http://shop.example/retour à l’accueil", "http://shop.example/retour%20%C3%A0%20l%E2%80%99accueil"),
    ("http://shop.example/100%?a=5%25", "http://shop.example/100%25?a=5%25"),
    ("http://shop.example?a=1", "http://shop.example?a=1"),
    ("http://localhost:3000", "http://localhost:3000"),
]

REFUSED = [
    "http://user@shop.example/",
    "http://user:word@shop.example/",
    "http://shop.example\\@evil.example/",
    "http://shop.example/\\back",
    "http://shop.example/a\tb",
    "http://bücher.example/",
    "http://2130706433/",
    "http://127.1/",
    "http://0x7f.0.0.1/",
    "http://0X7F000001/",
    "http://shop.0x7f/",
    "http://[fd00::20/",
    "http://a..b/",
    "http://shop.example:65536/",
    "http://shop.example:0/",
    "http://shop.example/" + "é" * 400,
    "http://",
    "https:/shop.example/",
    "javascript:alert(1)//http://shop.example",
]


@pytest.mark.parametrize(("sent", "followed"), TAKEN)
def test_in_test_mode_a_payer_may_be_sent_to_what_the_guide_allows(sent: str, followed: str) -> None:
    result = a_result(form(url_return=sent), Status.CANCELLED)

    departure = a_dialect().returned(result, NOW)

    assert departure is not None
    assert departure.url == followed
    assert result.request.return_url == followed


@pytest.mark.parametrize("sent", REFUSED)
def test_what_two_parsers_could_read_in_two_ways_is_refused(sent: str) -> None:
    assert faults(form(url_return=sent, url_check=sent)) == {"url_return": "28", "url_check": "33"}


@pytest.mark.parametrize(
    "sent",
    [
        "http://10.0.0.1/ipn",
        "http://172.16.0.1/ipn",
        "http://192.168.1.20/ipn",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/ipn",
        "http://224.0.1.1/ipn",
        "http://0.0.0.0/ipn",
        "http://8.8.8.8/ipn",
        "http://127.0.0.9/ipn",
        "http://[fd00::1]/ipn",
        "http://[fe80::1]/ipn",
        "http://php_web/ipn",
        "http://shop.example/a/../ipn",
        "http://shop.example//ipn",
    ],
)
def test_what_the_confirmation_channel_would_not_call_is_refused_at_once(sent: str) -> None:
    assert faults(form(url_check=sent, url_return=sent)) == {"url_check": "33"}


@pytest.mark.parametrize("sent", ["http://127.0.0.1/ipn", "http://localhost/", "http://[::1]/"])
def test_this_machine_is_called_where_the_server_allows_it(sent: str) -> None:
    closed = a_dialect(house=replace(HOUSE, loopback_allowed=False))

    assert a_dialect().target(a_result(form(url_check=sent)).recipient) == sent
    assert faults(form(url_check=sent), closed) == {"url_check": "33"}


@pytest.mark.parametrize(
    ("sent", "called", "path", "query"),
    [
        ("http://shop.example/n?a[]=1#x", "http://shop.example/n?a%5B%5D=1", "/n", "a%5B%5D=1"),
        ("http://Shop.example", "http://shop.example", "/", ""),
    ],
)
def test_a_notification_is_called_as_it_was_checked_and_without_a_fragment(
    sent: str, called: str, path: str, query: str
) -> None:
    dialect, result = a_dialect(), a_result(form(url_check=sent))

    call = dialect.delivery(result.recipient, Try("evt_1", b"a=1", 1, NOW))

    assert (dialect.target(result.recipient), call.url, result.request.notify_url) == (called, called, called)
    assert (call.path, call.query) == (path, query)


def test_data_by_get_goes_before_the_fragment() -> None:
    result = a_result(form(return_mode="GET", url_return="http://shop.example/app?x[]=1#/paid"), Status.CANCELLED)

    departure = a_dialect().returned(result, NOW)

    assert departure is not None
    parts = urlsplit(departure.url)
    assert parts.fragment == "/paid"
    assert parse_qs(parts.query)["vads_trans_status"] == ["ABANDONED"]
    assert parse_qs(parts.query)["x[]"] == ["1"]


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [
        ("https://shop.example/back?id[]=7#/thanks", True),
        ("https://SHOP.example/back/x", True),
        ("https://shop.example/back/../admin", False),
        ("https://shop.example//back", False),
        ("https://shop.example/back%2f..%2fadmin", False),
        ("https://192.0.2.7/back", False),
        ("https://shop.example:444/back", False),
        ("http://shop.example/back", False),
        ("https://127.0.0.1/back", False),
    ],
)
def test_in_production_an_address_is_strict_and_below_one_of_the_book(sent: str, is_taken: bool) -> None:
    call = live(live_form(url_return=sent))

    if is_taken:
        assert isinstance(a_dialect(LIVE).read(call, NOW), Open)
        return
    with pytest.raises(BadRequest) as caught:
        a_dialect(LIVE).read(call, NOW)
    assert [fault.code for fault in caught.value.faults] == ["28"]


def test_the_shops_own_page_is_the_last_way_back() -> None:
    result = a_result(form(url_return=..., shop_url="http://shop.example/"), Status.CANCELLED)

    departure = a_dialect().returned(result, NOW)

    assert departure is not None
    assert departure.url == "http://shop.example/"


@given(st.text(max_size=60), st.sampled_from(["http://shop.example/", "https://[::1]:8/?", "http://a.b#", "//", ""]))
def test_what_is_followed_is_plain_ascii_on_the_host_that_was_read(tail: str, head: str) -> None:
    try:
        place = parse_place(head + tail)
    except ValueError:
        return

    assert place.shown.isascii()
    assert not set(place.shown) & set(' \t\r\n\\"<>')
    assert urlsplit(place.shown).hostname == place.host.strip("[]")
    assert parse_place(place.shown) == place


def test_the_guides_length_is_taken_whole() -> None:
    whole = "http://shop.example/" + "x" * 1004

    assert read(form(url_return=whole)).request.return_url == whole
    assert faults(form(url_return=whole + "x")) == {"url_return": "28"}
