"""What must hold after every block, each by name. Knows state; reads all of it."""

from __future__ import annotations

from peerwatt.contracts.life import FINAL
from peerwatt.contracts.state import (
    ACCOUNTS,
    AGENDA,
    AWARDS,
    CONTRIBUTIONS,
    DISPUTES,
    ORDERS,
    PORT_ORDERS,
    PORTS,
    READINGS,
    REWARD_TERMS,
    REWARDS,
    ROUNDS,
    SEALED,
    SITES,
    TERMS_KEY,
    Readable,
    chain_of,
    must,
    port_key,
)
from peerwatt.records.market import Round, RoundStatus, Side


def broken_invariants(state: Readable) -> list[str]:
    """A line for each invariant that does not hold; empty when all do."""
    checks = (_coins, _holds, _energy, _books, _agenda, _rewards)
    return [line for check in checks for line in check(state)]


def _coins(state: Readable) -> list[str]:
    """Coins on accounts = issued - withdrawn, and no account is below zero."""
    chain = chain_of(state)
    accounts = state.items(ACCOUNTS)
    total = sum(account.free_ucoin + account.held_ucoin for _, account in accounts)
    supply = chain.issued_ucoin - chain.withdrawn_ucoin
    broken = [
        f"account {key.hex()} is below zero"
        for key, account in accounts
        if account.free_ucoin < 0 or account.held_ucoin < 0
    ]
    if total != supply:
        broken.append(f"accounts hold {total} ucoin, supply is {supply}")
    return broken


def _holds(state: Readable) -> list[str]:
    """What an account holds back is what its orders, awards, disputes and surplus need."""
    held: dict[bytes, int] = {}

    def add(key: bytes, amount_ucoin: int) -> None:
        held[key] = held.get(key, 0) + amount_ucoin

    for round_id, each in state.items(ROUNDS):
        for _, order in state.items(ORDERS, round_id):
            add(order.owner, order.held_ucoin)
        for _, sealed in state.items(SEALED, round_id):
            add(sealed.owner, sealed.deposit_ucoin)
        for _, award in state.items(AWARDS, round_id):
            add(award.owner, award.held_ucoin)
        if each.clearing is not None and each.totals is None:
            supplier = must(state.get(SITES, each.site.encode())).supplier
            add(supplier, each.clearing.supplier_held_ucoin)
    for _, dispute in state.items(DISPUTES):
        if not dispute.resolved:
            add(dispute.operator, dispute.frozen_ucoin)
    return [
        f"account {key.hex()} holds {account.held_ucoin} ucoin, {held.get(key, 0)} are needed"
        for key, account in state.items(ACCOUNTS)
        if account.held_ucoin != held.get(key, 0)
    ]


def _energy(state: Readable) -> list[str]:
    """Awarded and settled energy balances in every round, and keeps within the connection."""
    broken = []
    for round_id, each in state.items(ROUNDS):
        clearing, totals = each.clearing, each.totals
        name = round_id.hex()
        if clearing is not None:
            awarded = clearing.bought_wh + clearing.export_wh
            if awarded != clearing.sold_wh + clearing.import_wh:
                broken.append(f"round {name}: awarded energy does not balance")
            if clearing.import_wh > each.import_limit_wh:
                broken.append(f"round {name}: awarded import is over the limit")
            if clearing.export_wh > each.export_limit_wh:
                broken.append(f"round {name}: awarded export is over the limit")
            broken += [
                f"round {name}: the awards behind feeder {feeder} are over its limit"
                for feeder in _overloaded(state, round_id, each)
            ]
        if totals is not None:
            if totals.bought_wh + totals.export_wh != totals.sold_wh + totals.import_wh:
                broken.append(f"round {name}: settled energy does not balance")
            money_in = totals.paid_ucoin + totals.penalty_ucoin
            fees = totals.network_fee_ucoin + totals.platform_fee_ucoin + totals.levy_ucoin
            parts = totals.received_ucoin + totals.supplier_ucoin + totals.operator_ucoin
            if money_in != parts + fees + totals.pot_ucoin:
                broken.append(f"round {name}: settled money does not balance")
    return broken


def _overloaded(state: Readable, round_id: bytes, market_round: Round) -> list[str]:
    """The feeders whose limits the awards of a round, as long as they stand, do not keep."""
    if not market_round.feeders:
        return []
    net_wh = {room.feeder: 0 for room in market_round.feeders}
    for _, award in state.items(AWARDS, round_id):
        feeder = must(state.get(PORTS, port_key(market_round.site, award.port))).feeder
        if feeder in net_wh:
            net_wh[feeder] += award.energy_wh if award.side == Side.BUY else -award.energy_wh
    return [
        room.feeder
        for room in market_round.feeders
        if not -room.export_limit_wh <= net_wh[room.feeder] <= room.import_limit_wh
    ]


def _books(state: Readable) -> list[str]:
    """An open round counts the orders of its ports, a later one the readings that it awaits."""
    broken = []
    for round_id, each in state.items(ROUNDS):
        ports = [port for port, _ in state.items(PORT_ORDERS, round_id)]
        if each.status == RoundStatus.OPEN:
            book = (*state.items(ORDERS, round_id), *state.items(SEALED, round_id))
            orders = sorted(order.port.encode() for _, order in book)
            if ports != orders or each.order_count != len(orders):
                broken.append(f"round {round_id.hex()}: order_count is not that of its book")
        elif each.status in (RoundStatus.CLEARED, RoundStatus.DELIVERED):
            awards = sorted(award.port.encode() for _, award in state.items(AWARDS, round_id))
            read = [port for port, _ in state.items(READINGS, round_id)]
            awaited = [port for port in (b"", *ports) if port not in read]
            if ports != awards or each.awaited_readings != len(awaited):
                broken.append(f"round {round_id.hex()}: awaited_readings is not what is missing")
    return broken


def _agenda(state: Readable) -> list[str]:
    """Every round that has not ended has exactly one entry in the agenda."""
    due: dict[bytes, int] = {}
    for _, entry in state.items(AGENDA):
        due[entry.round_id] = due.get(entry.round_id, 0) + 1
    return [
        f"round {round_id.hex()} stands {due.get(round_id, 0)} times in the agenda"
        for round_id, each in state.items(ROUNDS)
        if due.get(round_id, 0) != (0 if each.status in FINAL else 1)
    ]


def _rewards(state: Readable) -> list[str]:
    """An epoch that is over has been paid, what counts is above zero, and nobody has the key of the
    account that pays."""
    terms = state.get(REWARD_TERMS, TERMS_KEY)
    contributions = state.items(CONTRIBUTIONS)
    broken = []
    if terms is None and contributions:
        broken.append("contributions are counted that nobody rewards")
    if terms is not None and terms.end_s <= chain_of(state).market_time_s:
        broken.append(f"the epoch that ended at {terms.end_s} is not paid")
    if any(each.sold_wh <= 0 for _, each in contributions):
        broken.append("a contribution is nothing")
    account = state.get(ACCOUNTS, REWARDS)
    if account is not None and (account.nonce or account.held_ucoin or account.wallet):
        broken.append("the reward account has acted")
    return broken
