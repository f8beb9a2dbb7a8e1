"""What an accepted message does to the reference's rows.

Knows the messages and the reference's rows.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from peerwatt.contracts.state import Deposit, Due, MeterProgress, OrderAt, Proposal
from peerwatt.records import transactions as tx
from peerwatt.records.codec import encode
from peerwatt.records.market import (
    NO_HASH,
    BuyOrder,
    Dispute,
    FeederRoom,
    Prices,
    Round,
    RoundStatus,
    SellOrder,
    SlotLimit,
    Tariff,
    round_key,
)
from peerwatt.records.members import Account, Meter, Port, Site
from peerwatt.simulation.reference_absences import confirm, report_absence
from peerwatt.simulation.reference_among_cars import revise
from peerwatt.simulation.reference_openings import write_opening
from peerwatt.simulation.reference_orders import held_for, step_of
from peerwatt.simulation.reference_proposals import end_auction, propose
from peerwatt.simulation.reference_rewards import start_anew
from peerwatt.simulation.reference_rows import REWARDS, Rows, move
from peerwatt.simulation.reference_rules import Letter
from peerwatt.simulation.reference_sealed import rebook, reveal, seal
from peerwatt.simulation.reference_trades import record


def carry_out(rows: Rows, letter: Letter, now_s: int) -> None:
    """What the message asks for happens."""
    message, message_id = letter.message, sha256(letter.transaction.message).digest()
    match message:
        case tx.ProposeChange():
            proposal = Proposal(change=message.change, voters=(message.signer,), done=False)
            _count_votes(rows, message_id, proposal)
        case tx.Vote():
            proposal = rows.get("proposals", message.proposal_id)
            voters = tuple(sorted([message.signer, *proposal.voters]))
            _count_votes(rows, message.proposal_id, replace(proposal, voters=voters))
        case tx.OpenWallet():
            account = rows.get("accounts", message.signer)
            rows.put("accounts", message.signer, replace(account, wallet=True))
        case tx.Mint():
            _mint(rows, message, now_s)
        case tx.Withdraw():
            move(rows, message.signer, -message.amount_ucoin)
            chain = rows.get("chain", b"chain")
            gone = chain.withdrawn_ucoin + message.amount_ucoin
            rows.put("chain", b"chain", replace(chain, withdrawn_ucoin=gone))
        case tx.Transfer():
            move(rows, message.signer, -message.amount_ucoin)
            move(rows, message.to, message.amount_ucoin)
        case tx.OpenRound():
            _open(rows, message)
        case tx.PlaceBuyOrder() | tx.PlaceSellOrder():
            _order(rows, message, message_id)
        case tx.SealOrder():
            seal(rows, message, message_id)
        case tx.RevealOrder():
            reveal(rows, message)
        case tx.CancelOrder():
            _cancel(rows, message)
        case tx.ReportReadings():
            _report(rows, message, now_s)
        case tx.OpenDispute():
            _dispute(rows, message)
        case tx.ResolveDispute():
            _resolve(rows, message)
        case tx.ProposeClearing():
            propose(rows, message)
        case tx.RequestOpening() | tx.ConsentOpening():
            write_opening(rows, message)
        case tx.FundRewards():
            rows.put("accounts", REWARDS, rows.get("accounts", REWARDS) or Account())
            move(rows, message.signer, -message.amount_ucoin)
            move(rows, REWARDS, message.amount_ucoin)
        case tx.ProposeAuction():
            end_auction(rows, message, message_id)
        case tx.ReportAbsence():
            report_absence(rows, message)
        case tx.ConfirmPresence():
            confirm(rows, message)
        case tx.ReviseOrder():
            revise(rows, message)
        case tx.RecordTrade():
            record(rows, message, message_id)
        case tx.Tick():
            pass
        case _:
            _register(rows, message, letter.cosigner)


def _count_votes(rows: Rows, proposal_id: bytes, proposal: Proposal) -> None:
    members = rows.shelf("members")
    for_it = sum(1 for key in members if key in proposal.voters)
    done = for_it * 3 > len(members) * 2
    rows.put("proposals", proposal_id, replace(proposal, done=done))
    if not done:
        return
    change = proposal.change
    if isinstance(change, tx.AddMember):
        rows.put("members", change.member.key, change.member)
        if change.member.key not in rows.shelf("accounts"):
            rows.put("accounts", change.member.key, Account())
    elif isinstance(change, tx.RemoveMember):
        rows.drop("members", change.key)
    elif isinstance(change, tx.SetRewards):
        start_anew(rows, change)
    else:
        chain = rows.get("chain", b"chain")
        later = {
            "next_rules_version": change.rules_version,
            "next_rules_height": change.height,
        }
        rows.put("chain", b"chain", replace(chain, **later))


def _mint(rows: Rows, message: tx.Mint, now_s: int) -> None:
    chain = rows.get("chain", b"chain")
    epoch = now_s // chain.mint_epoch_s
    before = chain.minted_in_epoch_ucoin if epoch == chain.mint_epoch else 0
    amount = message.amount_ucoin
    counted = replace(
        chain,
        mint_epoch=epoch,
        minted_in_epoch_ucoin=before + amount,
        issued_ucoin=chain.issued_ucoin + amount,
    )
    rows.put("chain", b"chain", counted)
    rows.put("deposits", message.deposit_reference, Deposit(to=message.to, amount_ucoin=amount))
    move(rows, message.to, amount)


def _register(rows: Rows, message: tx.Message, cosigner: bytes) -> None:
    """What is published or plugged in."""
    match message:
        case tx.RegisterSite():
            shared = {n: getattr(message, n) for n in Site.__struct_fields__ if n != "operator"}
            rows.put("sites", message.site.encode(), Site(operator=message.signer, **shared))
            rows.put("meters", message.main_meter, Meter(site=message.site, port=""))
        case tx.RegisterPort():
            shared = {n: getattr(message, n) for n in Port.__struct_fields__ if n != "wallet"}
            rows.put("ports", f"{message.site}/{message.port}".encode(), Port(**shared))
            rows.put("meters", message.meter, Meter(site=message.site, port=message.port))
        case tx.PublishTariff():
            own = ("supplier", "grid_operator")
            shared = {n: getattr(message, n) for n in Tariff.__struct_fields__ if n not in own}
            tariff = Tariff(supplier=message.signer, grid_operator=cosigner, **shared)
            rows.put("tariffs", message.tariff.encode(), tariff)
        case tx.PublishLimits():
            for limit in message.limits:
                rows.put("limits", round_key(message.site, limit.slot_start_s), limit)
        case tx.CheckIn() | tx.CheckOut():
            key = f"{message.site}/{message.port}".encode()
            wallet = message.wallet if isinstance(message, tx.CheckIn) else b""
            rows.put("ports", key, replace(rows.get("ports", key), wallet=wallet))
        case _:
            raise NotImplementedError(f"{type(message).__name__} does nothing here")


def _open(rows: Rows, message: tx.OpenRound) -> None:
    round_id = round_key(message.site, message.slot_start_s)
    limit = rows.get("limits", round_id) or rows.get("sites", message.site.encode())
    if round_id in rows.shelf("limits"):
        rows.drop("limits", round_id)
    hours = message.slot_end_s - message.slot_start_s
    asked = {
        name: getattr(message, name)
        for name in Round.__struct_fields__
        if name in tx.OpenRound.__struct_fields__
    }
    opened = Round(
        **asked,
        status=RoundStatus.OPEN,
        prices=_prices(rows.get("tariffs", message.tariff.encode()), message),
        import_limit_wh=limit.import_limit_w * hours // 3600,
        export_limit_wh=limit.export_limit_w * hours // 3600,
        order_count=0,
        awaited_readings=0,
        book_hash=NO_HASH,
        orders_root=NO_HASH,
        prices_root=NO_HASH,
        awards_root=NO_HASH,
        readings_root=NO_HASH,
        settlements_root=NO_HASH,
        void_reason=0,
        proposed=None,
        clearing=None,
        totals=None,
        feeders=tuple(
            FeederRoom(
                feeder=each.feeder,
                import_limit_wh=each.import_limit_w * hours // 3600,
                export_limit_wh=each.export_limit_w * hours // 3600,
            )
            for each in (limit.feeders if isinstance(limit, SlotLimit) else ())
        ),
    )
    rows.put("rounds", round_id, opened)
    due_s = message.reveal_by_s or message.gate_s
    rows.put("agenda", due_s.to_bytes(8, "big") + round_id, Due(round_id=round_id))


def _prices(tariff: Tariff, message: tx.OpenRound) -> Prices:
    at = step_of(tariff, message.slot_start_s, message.slot_end_s)
    if at is None:
        raise ValueError("tariff: has no price for the slot")
    parts: dict[str, Any] = {n: getattr(tariff, n, None) for n in Prices.__struct_fields__}
    step = tariff.steps[at]
    parts["retail_ucoin_per_kwh"] = step.retail_ucoin_per_kwh
    parts["feed_in_ucoin_per_kwh"] = step.feed_in_ucoin_per_kwh
    return Prices(**parts)


def _order(rows: Rows, message: tx.PlaceBuyOrder | tx.PlaceSellOrder, order_id: bytes) -> None:
    market_round = rows.get("rounds", message.round_id)
    kind = BuyOrder if isinstance(message, tx.PlaceBuyOrder) else SellOrder
    shared = {n: getattr(message, n) for n in kind.__struct_fields__ if hasattr(message, n)}
    held = held_for(message, market_round)
    feeder = rows.get("ports", f"{market_round.site}/{message.port}".encode()).feeder
    shared |= {"order_id": order_id, "owner": message.signer, "feeder": feeder}
    order = kind(held_ucoin=held, **shared)
    move(rows, message.signer, -held, held=True)
    rows.put("orders", order_id, order, message.round_id)
    at = OrderAt(order_id=order_id)
    rows.put("port_orders", message.port.encode(), at, message.round_id)
    rebook(rows, message.round_id, encode(order))


def _cancel(rows: Rows, message: tx.CancelOrder) -> None:
    order = rows.get("orders", message.order_id, message.round_id)
    sealed = rows.get("sealed_orders", message.order_id, message.round_id)
    table, held = ("orders", order.held_ucoin) if order else ("sealed_orders", sealed.deposit_ucoin)
    order = order or sealed
    move(rows, order.owner, held, held=True)
    rows.drop(table, order.order_id, message.round_id)
    rows.drop("port_orders", order.port.encode(), message.round_id)
    rebook(rows, message.round_id, order.order_id)


def _report(rows: Rows, message: tx.ReportReadings, now_s: int) -> None:
    round_id = message.round_id
    for signed in message.readings:
        reading = signed.reading
        port = rows.get("meters", reading.meter).port
        rows.put("readings", port.encode(), signed, round_id)
        progress = MeterProgress(
            sequence=reading.sequence,
            end_s=reading.end_s,
            import_wh=reading.import_end_wh,
            export_wh=reading.export_end_wh,
        )
        rows.put("meter_progress", reading.meter, progress)
    market_round = rows.get("rounds", round_id)
    awaited = [b"", *rows.shelf("port_orders", round_id)]
    left = sum(1 for port in awaited if port not in rows.shelf("readings", round_id))
    rows.put("rounds", round_id, replace(market_round, awaited_readings=left))
    waits = market_round.settle_by_s.to_bytes(8, "big") + round_id
    if left == 0 and waits in rows.shelf("agenda"):
        rows.drop("agenda", waits)
        rows.put("agenda", now_s.to_bytes(8, "big") + round_id, Due(round_id=round_id))


def _dispute(rows: Rows, message: tx.OpenDispute) -> None:
    market_round = rows.get("rounds", message.round_id)
    operator = rows.get("sites", market_round.site.encode()).operator
    frozen = min(message.amount_ucoin, rows.get("accounts", operator).free_ucoin)
    move(rows, operator, -frozen, held=True)
    dispute = Dispute(
        round_id=message.round_id,
        owner=message.signer,
        operator=operator,
        frozen_ucoin=frozen,
        statement_hash=message.statement_hash,
    )
    rows.put("disputes", message.order_id, dispute)


def _resolve(rows: Rows, message: tx.ResolveDispute) -> None:
    dispute = rows.get("disputes", message.order_id)
    move(rows, dispute.operator, dispute.frozen_ucoin, held=True)
    move(rows, dispute.operator, -message.credit_ucoin)
    move(rows, dispute.owner, message.credit_ucoin)
    resolved = replace(dispute, resolved=True, credit_ucoin=message.credit_ucoin)
    rows.put("disputes", message.order_id, resolved)
