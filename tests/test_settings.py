"""What the operator may write, and how every fault is told at once."""

from pathlib import Path

import pytest

from gateway import settings
from gateway.core.errors import SettingsError
from gateway.core.payment import Mode


def faults(home: Path, **environ: str) -> str:
    with pytest.raises(SettingsError) as refusal:
        settings.load(home, environ)
    return "\n".join(refusal.value.faults)


def test_the_shipped_configuration_loads(home: Path) -> None:
    loaded = settings.load(home, {})

    assert {merchant.id: merchant.dialect for merchant in loaded.merchants.values()} == {
        "mairie-demo": "native",
        "jvs-demo": "native",
        "jvs-demo-valmont": "native",
        "jvs-demo-rivesaint": "native",
        "sistec-demo": "tipi",
        "titres-demo": "tipi",
        "payfip-demo": "payfip",
        "alise-demo": "spplus",
        "ifac-demo": "systempay",
        "falaise-demo": "payline",
    }
    assert all(merchant.mode is Mode.TEST for merchant in loaded.merchants.values())
    assert loaded.key_holders[:2] == ("mairie-demo", "jvs-demo")
    assert "jvs-demo-valmont" not in loaded.key_holders
    assert loaded.sqlalchemy_url == f"sqlite:///{home}/var/guichet.sqlite"


def test_variables_win_over_files(home: Path) -> None:
    loaded = settings.load(home, {"GUICHET_BASE_URL": "https://pay.example.org/", "GUICHET_SMTP__PORT": "2525"})

    assert (loaded.base_url, loaded.smtp.port) == ("https://pay.example.org", 2525)


def test_unknown_settings_are_refused_wherever_they_stand(home: Path) -> None:
    with (home / "config/gateway.toml").open("a") as file:
        file.write("\n[sms2]\nx = 1\n")

    told = faults(home, GUICHET_DATABSE_URL="sqlite://", GUICHET_SMTP__PROT="25")

    assert "sms2: unknown setting" in told
    assert "GUICHET_DATABSE_URL" in told
    assert "GUICHET_SMTP__PROT" in told


def test_all_faults_come_at_once_and_name_their_place(home: Path) -> None:
    path = home / "config/merchants.toml"
    path.write_text(path.read_text() + '\n[merchants."Bad Id"]\nname = ""\nportal = "nobody"\n')

    told = faults(home, GUICHET_BASE_URL="ftp://x", GUICHET_WEB__PORT="0")

    assert "base_url" in told
    assert "web.port" in told
    assert "config/merchants.toml" in told
    assert told.count("\n") >= 3


def test_a_secret_in_a_faulty_setting_is_not_told(home: Path) -> None:
    assert "hunter2" not in faults(home, GUICHET_SMTP__PASSWORD="hunter2", GUICHET_SMTP__PORT="hunter2")


def test_a_production_merchant_is_refused_on_the_simulator(home: Path) -> None:
    path = home / "config/merchants.toml"
    path.write_text(path.read_text().replace('name = "Ville de Démonstration"', 'name = "Ville"\nmode = "production"'))

    told = faults(home, GUICHET_LIMITS__FACTOR="1000")

    assert "mairie-demo.mode: production on the simulated acquirer" in told
    assert "limits.factor: the limits of a test machine" in told
    assert "loopback_callbacks" in told
    assert "base_url: plain http" in told


def test_a_portal_that_is_not_in_the_book_is_refused(home: Path) -> None:
    path = home / "config/merchants.toml"
    path.write_text(path.read_text() + '\n[merchants.town]\nname = "Town"\nportal = "nobody"\n')

    assert "merchants.town.portal: no merchant 'nobody'" in faults(home)


@pytest.mark.parametrize("currency", ["eur", "CAD", ""])
def test_a_currency_nobody_counts_in_is_refused_at_start(home: Path, currency: str) -> None:
    """Each of its payments would be a fault of ours."""
    path = home / "config/merchants.toml"
    path.write_text(path.read_text() + f'\n[merchants.town]\nname = "Town"\ncurrency = "{currency}"\n')

    told = faults(home)

    assert "town" in told
    assert "currency" in told


def test_a_file_that_is_missing_or_broken_is_named(home: Path) -> None:
    (home / "config/gateway.toml").write_text("= nothing")
    (home / "config/merchants.toml").unlink()

    told = faults(home)

    assert "gateway.toml" in told
    assert "merchants.toml: missing" in told


@pytest.mark.parametrize("zone", ["Europe/Pariss", "", "Europe", "../etc/passwd"])
def test_a_zone_that_is_none_is_refused(home: Path, zone: str) -> None:
    assert "timezone: must be a zone of the IANA database" in faults(home, GUICHET_TIMEZONE=zone)


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("[merchant.mairie]\nname = 'x'\n", "config/merchants.toml: merchant: only [merchants.<id>] tables"),
        ("[merchants]\nmairie = 'x'\n", "merchants.mairie: Input should be a valid dictionary"),
    ],
)
def test_what_is_no_merchants_table_is_not_passed_over(home: Path, added: str, told: str) -> None:
    book = home / "config/merchants.toml"
    book.write_text(added + ("" if "[merchants]" in added else book.read_text()))

    assert told in faults(home)


def test_merchants_stand_in_their_book_alone(home: Path) -> None:
    told = faults(home, GUICHET_MERCHANTS__MAIRIE_DEMO__MODE="production")

    assert "GUICHET_MERCHANTS: merchants stand in config/merchants.toml alone" in told
