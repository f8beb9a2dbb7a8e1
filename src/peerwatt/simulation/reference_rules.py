"""What the reference ledger has against a message: every objection, in no order.

Knows the messages and the reference's rows. Written from what each message means, not from the
contracts: the ledger has to accept what has no objection here, and where it refuses, to name one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from peerwatt.records import transactions as tx
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.market import round_key
from peerwatt.records.members import Account, Member, Role
from peerwatt.records.receipts import Reason
from peerwatt.simulation import reference_orders as orders
from peerwatt.simulation.reference_absences import to_confirm, to_report_absence
from peerwatt.simulation.reference_among_cars import to_revise
from peerwatt.simulation.reference_openings import to_consent, to_request
from peerwatt.simulation.reference_proposals import to_propose
from peerwatt.simulation.reference_rows import HORIZON_S, POT, Rows, ascend, is_signed, may
from peerwatt.simulation.reference_sealed import to_reveal, to_seal
from peerwatt.simulation.reference_trades import to_record
from peerwatt.units import MAX_UCOIN

MOST_BYTES = 1 << 20
MOST_LISTED = 1_000
MOST_FEEDERS = 32
Objections = Iterator[Reason]


class Letter(NamedTuple):
    """A message with the transaction that carries it."""

    transaction: tx.Transaction
    message: tx.Message

    @property
    def cosigner(self) -> bytes:
        """Who signed too."""
        return self.transaction.cosigner


def opened(data: bytes) -> Letter | Reason:
    """What the bytes carry, or why they carry nothing."""
    if len(data) > MOST_BYTES:
        return Reason.OVERSIZED
    try:
        transaction = decode(data, tx.Transaction)
        message = tx.decode_message(transaction.message)
    except CodecError:
        return Reason.MALFORMED
    alone = encode(transaction) == data and encode(message) == transaction.message
    return Letter(transaction, message) if alone else Reason.MALFORMED


def to_envelope(rows: Rows, letter: Letter) -> Objections:
    """Against the sender: whoever cannot have sent it leaves no trace at all."""
    transaction, message = letter
    chain_id = rows.get("chain", b"chain").chain_id
    account = rows.get("accounts", message.signer)
    signed = transaction.message + transaction.cosigner + transaction.cosignature
    if message.chain_id != chain_id:
        yield Reason.WRONG_CHAIN
    if not is_signed(message.signer, "transaction", chain_id, signed, transaction.signature):
        yield Reason.BAD_SIGNATURE
    if account is None and not isinstance(message, tx.OpenWallet):
        yield Reason.UNKNOWN_SIGNER
    if message.nonce != (account or Account()).nonce:
        yield Reason.WRONG_NONCE


def to_validity(letter: Letter, now_s: int) -> Objections:
    """Against its time and its second signature."""
    transaction, message = letter
    if isinstance(message, tx.Tick):
        now_s = max(now_s, message.time_s)
    if message.valid_until_s < now_s:
        yield Reason.EXPIRED
    key, signature = transaction.cosigner, transaction.cosignature
    named = bool(key or signature)
    data = transaction.message
    if named and not is_signed(key, "cosignature", message.chain_id, data, signature):
        yield Reason.BAD_COSIGNATURE


def to_message(rows: Rows, letter: Letter, now_s: int, height: int) -> Objections:
    """Against what the message asks for."""
    message, cosigner = letter.message, letter.cosigner
    match message:
        case tx.Tick():
            return _tick(rows, message, now_s)
        case tx.ProposeChange():
            return _propose(rows, message, height)
        case tx.Vote():
            return _vote(rows, message, height)
        case tx.OpenWallet():
            return _wallet(rows, message)
        case tx.Mint():
            return _mint(rows, message, cosigner, now_s)
        case tx.Withdraw():
            return _spend(rows, message)
        case tx.Transfer():
            return _transfer(rows, message)
        case tx.RegisterSite():
            return _site(rows, message, cosigner)
        case tx.RegisterPort():
            return _port(rows, message)
        case tx.PublishTariff():
            return _tariff(rows, message, cosigner)
        case tx.PublishLimits():
            return _limits(rows, message, now_s)
        case tx.OpenRound():
            return orders.to_open(rows, message, now_s)
        case tx.CheckIn() | tx.CheckOut():
            return _plug(rows, message)
        case tx.PlaceBuyOrder() | tx.PlaceSellOrder():
            return orders.to_order(rows, message, now_s)
        case tx.SealOrder():
            return to_seal(rows, message, now_s)
        case tx.RevealOrder():
            return to_reveal(rows, message, now_s)
        case tx.CancelOrder():
            return orders.to_cancel(rows, message, now_s)
        case tx.ReportReadings():
            return orders.to_report(rows, message, now_s)
        case tx.OpenDispute():
            return orders.to_dispute(rows, message, now_s)
        case tx.ResolveDispute():
            return orders.to_resolve(rows, message)
        case tx.ProposeClearing() | tx.ProposeAuction():
            return to_propose(rows, message, now_s)
        case tx.RequestOpening():
            return to_request(rows, message)
        case tx.ConsentOpening():
            return to_consent(rows, message)
        case tx.FundRewards():
            return _fund(rows, message)
        case tx.ReportAbsence():
            return to_report_absence(rows, message, now_s)
        case tx.ConfirmPresence():
            return to_confirm(rows, message, now_s)
        case tx.ReviseOrder():
            return to_revise(rows, message, now_s)
        case tx.RecordTrade():
            return to_record(rows, message, cosigner, now_s)
    raise NotImplementedError(f"the reference ledger does not know {type(message).__name__}")


def _tick(rows: Rows, message: tx.Tick, now_s: int) -> Objections:
    clock = rows.get("chain", b"chain").tick_key
    if not clock:
        yield Reason.NOT_TICK_CLOCK
    elif message.signer != clock:
        yield Reason.NOT_PERMITTED
    if message.time_s < now_s:
        yield Reason.CLOCK_BACKWARDS
    elif message.time_s > now_s:
        yield Reason.OUT_OF_ORDER


# --- members


def _propose(rows: Rows, message: tx.ProposeChange, height: int) -> Objections:
    if message.signer not in rows.shelf("members"):
        yield Reason.NOT_PERMITTED
    yield from _change(rows, message.change, height)


def _vote(rows: Rows, message: tx.Vote, height: int) -> Objections:
    proposal = rows.get("proposals", message.proposal_id)
    if message.signer not in rows.shelf("members"):
        yield Reason.NOT_PERMITTED
    if proposal is None:
        yield Reason.UNKNOWN_PROPOSAL
        return
    if proposal.done:
        yield Reason.ALREADY_RESOLVED
    if message.signer in proposal.voters:
        yield Reason.ALREADY_VOTED
    if any(True for _ in _change(rows, proposal.change, height)):
        yield Reason.TOO_LATE


def _change(rows: Rows, change: tx.Change, height: int) -> Objections:
    members = rows.shelf("members")
    if isinstance(change, tx.AddMember):
        account = rows.get("accounts", change.member.key)
        if change.member.key == POT or (account or Account()).wallet:
            yield Reason.ALREADY_EXISTS
        others = {key: each for key, each in members.items() if key != change.member.key}
        yield from _validators(members, {**others, change.member.key: change.member})
    elif isinstance(change, tx.RemoveMember):
        if change.key not in members:
            yield Reason.UNKNOWN_MEMBER
        others = {key: each for key, each in members.items() if key != change.key}
        if not others:
            yield Reason.OUT_OF_RANGE
        yield from _validators(members, others)
    elif isinstance(change, tx.UpgradeRules):
        if change.rules_version <= rows.get("chain", b"chain").rules_version:
            yield Reason.OUT_OF_RANGE
        if change.height <= height:
            yield Reason.TOO_LATE


def _validators(before: Mapping[bytes, Member], after: Mapping[bytes, Member]) -> Objections:
    """A validator's key is a key and one member's; where there are validators, one remains."""
    keys = [member.validator for member in after.values() if member.validator]
    stops = not keys and any(member.validator for member in before.values())
    if stops or len(dict.fromkeys(keys)) < len(keys) or any(len(key) != 32 for key in keys):
        yield Reason.OUT_OF_RANGE


# --- money


def _wallet(rows: Rows, message: tx.OpenWallet) -> Objections:
    account = rows.get("accounts", message.signer) or Account()
    if account.wallet or message.signer in rows.shelf("members"):
        yield Reason.ALREADY_EXISTS
    if not may(rows, message.authority, Role.REGISTRATION_AUTHORITY):
        yield Reason.UNKNOWN_MEMBER
    token = (message.chain_id, message.signer, message.token)
    if not is_signed(message.authority, "wallet", *token):
        yield Reason.BAD_COSIGNATURE


def _mint(rows: Rows, message: tx.Mint, cosigner: bytes, now_s: int) -> Objections:
    chain = rows.get("chain", b"chain")
    if not may(rows, message.signer, Role.ISSUER):
        yield Reason.NOT_PERMITTED
    if cosigner == message.signer or not may(rows, cosigner, Role.REGULATOR):
        yield Reason.BAD_COSIGNATURE
    if message.to not in rows.shelf("accounts"):
        yield Reason.UNKNOWN_ACCOUNT
    if message.deposit_reference in rows.shelf("deposits"):
        yield Reason.ALREADY_EXISTS
    this_epoch = chain.mint_epoch == now_s // chain.mint_epoch_s
    minted = message.amount_ucoin + (chain.minted_in_epoch_ucoin if this_epoch else 0)
    ever = message.amount_ucoin + chain.issued_ucoin
    if minted > chain.mint_cap_ucoin or ever > MAX_UCOIN:
        yield Reason.OVER_CAP


def _spend(rows: Rows, message: tx.Withdraw | tx.Transfer | tx.FundRewards) -> Objections:
    if rows.get("accounts", message.signer).free_ucoin < message.amount_ucoin:
        yield Reason.UNFUNDED


def _fund(rows: Rows, message: tx.FundRewards) -> Objections:
    if message.signer not in rows.shelf("members"):
        yield Reason.NOT_PERMITTED
    yield from _spend(rows, message)


def _transfer(rows: Rows, message: tx.Transfer) -> Objections:
    if message.to not in rows.shelf("accounts"):
        yield Reason.UNKNOWN_ACCOUNT
    yield from _spend(rows, message)


# --- sites


def _site(rows: Rows, message: tx.RegisterSite, cosigner: bytes) -> Objections:
    if not may(rows, message.signer, Role.AGGREGATOR):
        yield Reason.NOT_PERMITTED
    if cosigner != message.grid_operator:
        yield Reason.BAD_COSIGNATURE
    grid_operator = may(rows, message.grid_operator, Role.GRID_OPERATOR)
    if not grid_operator or not may(rows, message.supplier, Role.SUPPLIER):
        yield Reason.UNKNOWN_MEMBER
    if rows.get("sites", message.site.encode()) or message.main_meter in rows.shelf("meters"):
        yield Reason.ALREADY_EXISTS
    if len(message.feeders) > MOST_FEEDERS:
        yield Reason.TOO_MANY
    if not ascend(message.feeders):
        yield Reason.OUT_OF_ORDER


def _operated(rows: Rows, site: str, signer: bytes) -> Objections:
    found = rows.get("sites", site.encode())
    if found is None:
        yield Reason.UNKNOWN_SITE
    elif found.operator != signer or not may(rows, signer, Role.AGGREGATOR):
        yield Reason.NOT_PERMITTED


def _port(rows: Rows, message: tx.RegisterPort) -> Objections:
    yield from _operated(rows, message.site, message.signer)
    known = rows.get("ports", f"{message.site}/{message.port}".encode())
    if known is not None or message.meter in rows.shelf("meters"):
        yield Reason.ALREADY_EXISTS
    site = rows.get("sites", message.site.encode())
    if site is not None and message.feeder not in ("", *site.feeders):
        yield Reason.UNKNOWN_FEEDER


def _plug(rows: Rows, message: tx.CheckIn | tx.CheckOut) -> Objections:
    yield from _operated(rows, message.site, message.signer)
    port = rows.get("ports", f"{message.site}/{message.port}".encode())
    if port is None:
        yield Reason.UNKNOWN_PORT
    taken = port is not None and bool(port.wallet)
    if isinstance(message, tx.CheckOut):
        if not taken:
            yield Reason.NOT_PLUGGED_IN
        return
    if taken:
        yield Reason.PORT_TAKEN
    if not (rows.get("accounts", message.wallet) or Account()).wallet:
        yield Reason.UNKNOWN_ACCOUNT


def _tariff(rows: Rows, message: tx.PublishTariff, cosigner: bytes) -> Objections:
    if not may(rows, message.signer, Role.SUPPLIER):
        yield Reason.NOT_PERMITTED
    if not may(rows, cosigner, Role.GRID_OPERATOR):
        yield Reason.BAD_COSIGNATURE
    if rows.get("tariffs", message.tariff.encode()) is not None:
        yield Reason.ALREADY_EXISTS
    if not 1 <= len(message.steps) <= MOST_LISTED:
        yield Reason.TOO_MANY
    if not ascend([*(step.from_s for step in message.steps), message.end_s]):
        yield Reason.OUT_OF_ORDER
    fees = message.network_fee_ucoin_per_kwh + message.platform_fee_ucoin_per_kwh
    fees += message.levy_ucoin_per_kwh
    for step in message.steps:
        retail = step.retail_ucoin_per_kwh
        if not step.feed_in_ucoin_per_kwh + fees < retail <= message.lost_load_ucoin_per_kwh:
            yield Reason.OUT_OF_RANGE


def _limits(rows: Rows, message: tx.PublishLimits, now_s: int) -> Objections:
    site = rows.get("sites", message.site.encode())
    if site is None:
        yield Reason.UNKNOWN_SITE
        return
    if message.signer != site.grid_operator or not may(rows, message.signer, Role.GRID_OPERATOR):
        yield Reason.NOT_PERMITTED
    if not 1 <= len(message.limits) <= MOST_LISTED:
        yield Reason.TOO_MANY
    if not ascend([limit.slot_start_s for limit in message.limits]):
        yield Reason.OUT_OF_ORDER
    for limit in message.limits:
        start_s = limit.slot_start_s
        if start_s % site.slot_s or start_s - now_s > HORIZON_S:
            yield Reason.OUT_OF_RANGE
        most = (site.import_limit_w, site.export_limit_w)
        if limit.import_limit_w > most[0] or limit.export_limit_w > most[1]:
            yield Reason.OVER_LIMIT
        names = [each.feeder for each in limit.feeders]
        if not ascend(names):
            yield Reason.OUT_OF_ORDER
        if any(name not in site.feeders for name in names):
            yield Reason.UNKNOWN_FEEDER
        if start_s <= now_s or rows.get("rounds", round_key(message.site, start_s)) is not None:
            yield Reason.TOO_LATE
