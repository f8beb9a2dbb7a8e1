"""`peerwatt verify` and `peerwatt receipt`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from peerwatt.audit.folder import open_chain, verify_folder
from peerwatt.cli.screen import console, progress, show_clearings, show_findings, show_refused
from peerwatt.hosts.replica import Replica
from peerwatt.records.bundles import ReceiptBundle, is_sound, verify_bundle
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.market import SettledAward
from peerwatt.units import UCOIN_PER_COIN

if TYPE_CHECKING:
    from peerwatt.audit.validators import LiveNetwork

SUFFIX = ".receipt"


def run_verify(
    what: Path | None, trusted_head: str | None, witness: str | None, network: Path | None
) -> bool:
    """Check a folder, a receipt or a network; whether everything that was checked holds."""
    head, key = _bytes32("--trusted-head", trusted_head), _bytes32("--witness", witness)
    live = None if network is None else _live(network)
    if what is None:
        if live is None or head or key:
            raise ValueError("what: name a run's folder or a receipt, or --network alone")
        with progress("blocks"):
            findings = live.check_live()
        show_findings(findings)
    elif what.is_dir():
        with progress("blocks") as step:
            report = verify_folder(
                what, trusted_head=head, witness=key, network=live, progress=step
            )
        findings = report.findings
        show_findings(findings)
        show_clearings(report.clearings, report.zone)
        show_refused(report.refused)
    else:
        bundle = _read(what)
        findings = verify_bundle(bundle, trusted_head=head, witness=key, show_time=_utc)
        if live is not None:
            findings += live.check_receipt(bundle)
        _show_settled(bundle)
        show_findings(findings)
    sound = is_sound(findings)
    console.print("Everything that was checked holds." if sound else "[red]It does not hold.[/]")
    return sound


def _live(network: Path) -> LiveNetwork:
    from peerwatt.audit.validators import LiveNetwork

    return LiveNetwork(network)


def write_receipt(folder: Path, order: str, out: Path | None) -> None:
    """The receipt of one order's settlement, as a file."""
    with progress("blocks"):
        chain = open_chain(folder)
    round_id, order_id = _find(chain, order)
    bundle = chain.receipt("settlements", round_id, order_id)
    target = Path(f"{order_id.hex()[:16]}{SUFFIX}") if out is None else out
    if target.exists():
        raise ValueError(f"{target}: exists already")
    target.write_bytes(encode(bundle))
    _show_settled(bundle)
    console.print(f"Receipt: {target}\nCheck it: peerwatt verify {target}", markup=False)


def _find(chain: Replica, order: str) -> tuple[bytes, bytes]:
    found = [
        (round_id, order_id)
        for round_id, _ in chain.items("rounds")
        for order_id, _ in chain.sealed("settlements", round_id)
        if order_id.hex().startswith(order.lower())
    ]
    if len(found) != 1:
        raise ValueError(f"ORDER: {len(found) or 'no'} settled orders begin with {order!r}")
    return found[0]


def _read(path: Path) -> ReceiptBundle:
    try:
        return decode(path.read_bytes(), ReceiptBundle)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except CodecError as error:
        raise ValueError(f"{path}: no receipt ({error})") from None


def _show_settled(bundle: ReceiptBundle) -> None:
    """What the receipt says, before what is proved of it."""
    if bundle.entry.item is None or bundle.entry.tree != "settlements":
        return
    try:
        row = decode(bundle.entry.item, SettledAward)
    except CodecError as error:
        raise ValueError(f"the receipt's entry is no settlement ({error})") from None
    money = (row.received_ucoin - row.paid_ucoin - row.penalty_ucoin) / UCOIN_PER_COIN
    console.print(
        f"Order {row.order_id.hex()[:16]}…, {row.side.name.lower()} at port {row.port}: "
        f"awarded {row.awarded_wh} Wh, metered {row.metered_wh} Wh, {money:+.6f} coins"
    )


def _utc(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M} UTC"


def _bytes32(option: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != 32:
        raise ValueError(f"{option}: must be 64 hexadecimal digits")
    return data
