"""Commands over the book and what happened: merchants, payments, notices."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from gateway import keys as keys_
from gateway.appending import append
from gateway.channels.code_text import plain_amount
from gateway.cli.serving import home_argument, open_parts, read
from gateway.core.errors import StoreBusy
from gateway.core.money import Money
from gateway.core.payment import Mode, PaymentResult
from gateway.dialects import Refund, Signed, Which
from gateway.settings.merchant import Merchant

if TYPE_CHECKING:
    from gateway.parts import Parts

# Of a refund's reason.
_REASON_MAX = 140


@click.group()
def merchant() -> None:
    """Look at the merchant book."""


@merchant.command(name="list")
@click.option("--credentials", is_flag=True, help="Show keys and secrets too (demonstration merchants).")
@home_argument
def list_merchants(home: Path, credentials: bool) -> None:
    """List the merchants."""
    for one in read(home).merchants.values():
        click.echo(f"{one.id}  {one.mode.value}  {one.dialect}  {one.name}")
        if credentials:
            for name, value in keys_.credentials(home / "keys", one.portal or one.id).items():
                click.echo(f"    {name}: {value}")


@merchant.command()
@click.argument("merchant_id")
@home_argument
def check(home: Path, merchant_id: str) -> None:
    """Say what is missing or weak in a merchant's entry."""
    # Flask takes its time to load, and only this command needs it.
    from gateway.web.theming import theme_remarks

    settings = read(home)
    if merchant_id not in settings.merchants:
        raise click.ClickException(f"no merchant {merchant_id!r}; the book has {', '.join(settings.merchants)}")
    parts = open_parts(home)
    one, held = settings.merchants[merchant_id], parts.keys
    owners = [owner for owner in (one.id, one.portal) if owner]
    remarks = []
    if not any(held.request_keys(owner) for owner in owners):
        remarks.append(f"no request key: guichet keys new --merchant {one.id}")
    if any(key.alg == "HS256" for owner in owners for key in held.request_keys(owner)):
        remarks.append("a shared HS256 secret may sign its requests: whoever verifies could also sign; prefer EdDSA")
    if not one.notify_url and not one.callback_urls:
        remarks.append("no confirmation address: set notify_url or callback_urls")
    if not one.managers:
        remarks.append("no manager: nobody at the merchant gets a copy of receipts")
    if not one.contract:
        remarks.append("no contract number: tickets will lack it")
    remarks.extend(parts.dialects[one.dialect].weaknesses)
    remarks.extend(theme_remarks(one, home))
    remarks.extend(["suspended: no new payment is opened"] * one.suspended)
    if one.mode is not Mode.PRODUCTION:
        remarks.append(f"mode is {one.mode.value}: no money moves")
    for remark in remarks:
        click.echo(f"- {remark}")
    if not remarks:
        click.echo("nothing to remark")


@merchant.command()
@click.argument("merchant_id")
@click.option("--name", required=True)
@home_argument
def new(home: Path, merchant_id: str, name: str) -> None:
    """Add a merchant in test mode to config/merchants.toml and make its keys."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,62}", merchant_id):
        raise click.ClickException("merchant id: 2 to 63 of a-z, 0-9 and -; start with a letter or a digit")
    settings, path = read(home), home / "config/merchants.toml"
    if merchant_id in settings.merchants:
        raise click.ClickException(f"merchant {merchant_id!r} is in the book already")
    try:
        Merchant(id=merchant_id, name=name)
    except ValidationError as error:
        # What the next start would refuse; in a shell that writes no UTF-8 an accent is no letter at all.
        raise click.ClickException("--name: 1 to 140 characters, in UTF-8") from error
    # JSON's words are TOML's too, but for this one character.
    quoted = json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
    try:
        append(path, f'\n[merchants.{merchant_id}]\nname = {quoted}\nmode = "test"\n'.encode())
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}; nothing was added") from error
    click.echo(f"added to {path}; next: guichet keys new --merchant {merchant_id}, then restart the server")


@click.group()
def payment() -> None:
    """Look at payments, refund them."""


@payment.command(name="list")
@click.option("--limit", default=20, show_default=True)
@home_argument
def list_payments(home: Path, limit: int) -> None:
    """List the latest payments."""
    parts = open_parts(home)
    with parts.store.reading() as tx:
        for row in tx.payments.newest(limit):
            amount = plain_amount(Money(row.amount_cents, row.currency), "en")
            click.echo(f"{row.public_id}  {row.status:10} {amount:>14}  {row.merchant_id}  {row.reference}")
    parts.auditor.record("payment.read", f"the latest {limit}")


@payment.command()
@click.argument("payment_id")
@home_argument
def show(home: Path, payment_id: str) -> None:
    """Show a payment: its facts, its timeline, its notices."""
    parts = open_parts(home)
    with parts.store.reading() as tx:
        row = tx.payments.get(payment_id)
        result, notices = tx.payments.result(row), tx.notices.of_payment(row.id)
    parts.auditor.record("payment.read", result.id)
    _tell(result, parts)
    for event in parts.worded(result).events:
        facts = " ".join(f"{name}={value}" for name, value in event.facts.items())
        click.echo(f"  {event.seq:3} {event.at:%Y-%m-%d %H:%M:%S} {event.type:28} {facts}")
    for one in notices:
        error = f" ({one.last_error})" if one.last_error else ""
        click.echo(f"  notice {one.id}: {one.channel} {one.state} after {one.tries} tries, {one.event_id}{error}")
        if one.last_reply:
            click.echo(f"    the receiver said: {one.last_reply[:200]!r}")


def _tell(result: PaymentResult, parts: "Parts") -> None:
    request = result.request
    click.echo(f"{result.id}  {result.status.value}  {plain_amount(request.amount, 'en')}")
    click.echo(f"  merchant {request.merchant}, reference {request.reference}, number {result.number}")
    click.echo(f"  opened by {result.dialect}, page {parts.links.page(result.id)}")
    for attempt in result.attempts:
        code = f"{attempt.response_code} {attempt.response_family}".strip()
        click.echo(f"  card {attempt.number}: {attempt.scheme} ****{attempt.last4} {attempt.status.value} {code}")
    if result.parent:
        click.echo(f"  debit {result.rank} of the purchase {result.parent}")
    for part in result.instalments:
        click.echo(
            f"  instalment {part.rank}: {plain_amount(part.amount, 'en')} due {part.due}, {part.status.value} {part.payment}".rstrip()
        )


@payment.command()
@click.argument("payment_id")
@click.option("--cents", type=click.IntRange(1), help="How much, in cents (default: all that is left).")
@click.option("--reason", default="", help="Kept with the refund.")
@home_argument
def refund(home: Path, payment_id: str, cents: int | None, reason: str) -> None:
    """Give money back."""
    parts = open_parts(home)
    result = parts.checkout.opening.told(payment_id)
    left = result.request.amount.cents - result.refunded_cents
    if len(reason) > _REASON_MAX:
        raise click.ClickException(f"--reason: keep it to {_REASON_MAX} characters, as portals must")
    if not left:
        raise click.ClickException("nothing is left to refund")
    amount = Money(cents or left, result.request.amount.currency)
    jti = parts.checkout.desk.new_id("cli")
    signed = Signed(result.request.merchant, jti, "by the operator")
    command = Refund(Which(payment=payment_id), amount, signed, reason)
    try:
        refunded = parts.checkout.refunding.refund(command, result.dialect)
    except StoreBusy as error:
        # Each order has a number of its own here: given twice, it would be carried out twice.
        look = f"look whether it is there (guichet payment show {payment_id}) before you ask again"
        raise click.ClickException(f"nobody knows whether the refund was written down: {look}") from error
    click.echo(f"{refunded.refunds[-1].id}: {refunded.refunds[-1].status}")


@payment.command()
@click.argument("payment_id")
@click.argument("outcome", type=click.Choice(["approved", "reversed"]))
@home_argument
def settle(home: Path, payment_id: str, outcome: str) -> None:
    """Settle a payment in review as the acquirer's own evidence says; nothing is asked of the acquirer."""
    parts = open_parts(home)
    parts.checkout.settling.decide(payment_id, approved=outcome == "approved")
    parts.auditor.record("review.settled", payment_id, before="review", after=outcome)
    click.echo(f"{payment_id}: {parts.checkout.opening.told(payment_id).status.value}")


@click.group()
def notice() -> None:
    """Look at notices, send them again."""


@notice.command(name="list")
@click.option("--state", type=click.Choice(["new", "sent", "dead"]))
@click.option("--limit", default=20, show_default=True)
@home_argument
def list_notices(home: Path, state: str | None, limit: int) -> None:
    """List the latest notices."""
    parts = open_parts(home)
    parts.auditor.record("notice.read", f"the latest {limit}")
    with parts.store.reading() as tx:
        for one in tx.notices.newest(limit, state):
            error = f"  {one.last_error}" if one.last_error else ""
            click.echo(f"{one.id:6} {one.state:4} {one.channel:14} tries {one.tries}  {one.event_id}{error}")


@notice.command()
@click.argument("notice_id", type=int)
@home_argument
def resend(home: Path, notice_id: int) -> None:
    """Send a notice again: same id, same body, fresh signature."""
    parts = open_parts(home)
    with parts.store.transaction() as tx:
        tx.notices.resend(notice_id, parts.now())
        tx.audit.add("notice.resent", str(notice_id))
        tx.after_commit.add(parts.outbox.wake)
    click.echo("due now; a running worker sends it at once")
