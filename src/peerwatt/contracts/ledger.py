"""The one door to the contracts: genesis, admission of a transaction, execution of a block.

Knows every contract; hosts know this module alone. A transaction is checked for size, encoding,
chain, signature, signer, nonce, validity and cosignature, then by its own contract. In a block, a
valid signature and nonce consume the nonce even where the message is then refused; some refusals
cost a fine, and admission lets in what a block would fine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec.structs import replace

from peerwatt.contracts import (
    absences,
    accounts,
    auction_ends,
    delivery,
    disputes,
    equivocation,
    members,
    openings,
    orders,
    proposals,
    revisions,
    rewards,
    rounds,
    sealed,
    sites,
    trades,
)
from peerwatt.contracts.state import (
    ACCOUNTS,
    MEMBERS,
    POT,
    TABLES,
    Chain,
    Refusal,
    State,
    chain_of,
    put_chain,
)
from peerwatt.records.codec import CodecError, decode, digest
from peerwatt.records.members import Account, Genesis
from peerwatt.records.receipts import BlockContext, BlockResult, Reason, Receipt
from peerwatt.records.signing import SIMULATION_PREFIX
from peerwatt.records.transactions import (
    MAX_TRANSACTION_BYTES,
    CancelOrder,
    CheckIn,
    CheckOut,
    ConfirmPresence,
    ConsentOpening,
    FundRewards,
    Message,
    Mint,
    OpenDispute,
    OpenRound,
    OpenWallet,
    PlaceBuyOrder,
    PlaceSellOrder,
    ProposeAuction,
    ProposeChange,
    ProposeClearing,
    PublishLimits,
    PublishTariff,
    RecordTrade,
    RegisterPort,
    RegisterSite,
    ReportAbsence,
    ReportReadings,
    RequestOpening,
    ResolveDispute,
    RevealOrder,
    ReviseOrder,
    SealOrder,
    Tick,
    Transaction,
    Transfer,
    Vote,
    Withdraw,
    parse,
)

__all__ = ["TABLES", "apply_block", "check_tx", "init_chain", "market_time_s"]

SUPPORTED_RULES = (1,)


def init_chain(state: State, genesis: bytes) -> None:
    """Write the first state; ValueError names the genesis field that cannot be."""
    document = decode(genesis, Genesis)
    _check_genesis(document)
    put_chain(
        state,
        Chain(
            chain_id=document.chain_id,
            tick_key=document.tick_key,
            market_time_s=document.start_s,
            rules_version=document.rules_version,
            next_rules_version=document.rules_version,
            next_rules_height=0,
            mint_epoch_s=document.mint_epoch_s,
            mint_cap_ucoin=document.mint_cap_ucoin,
            mint_epoch=0,
            minted_in_epoch_ucoin=0,
            issued_ucoin=0,
            withdrawn_ucoin=0,
            max_orders=document.max_orders,
            max_work=document.max_work,
            dispute_window_s=document.dispute_window_s,
            equivocation_penalty_ucoin=document.equivocation_penalty_ucoin,
        ),
    )
    state.put(ACCOUNTS, POT, Account())
    if document.tick_key:
        state.put(ACCOUNTS, document.tick_key, Account())
    for member in document.members:
        state.put(MEMBERS, member.key, member)
        state.put(ACCOUNTS, member.key, Account())


def _check_genesis(genesis: Genesis) -> None:
    keys = [member.key for member in genesis.members]
    simulated = genesis.chain_id.startswith(SIMULATION_PREFIX)
    if not keys or any(keys[at] >= keys[at + 1] for at in range(len(keys) - 1)):
        raise ValueError("members: must be given, keys strictly ascending")
    validators = sorted(member.validator for member in genesis.members if member.validator)
    if any(len(each) != 32 for each in validators):
        raise ValueError("members: a validator's key must be empty or have 32 bytes")
    if any(validators[at] == validators[at + 1] for at in range(len(validators) - 1)):
        raise ValueError("members: two of them have one validator")
    if POT in (*keys, genesis.tick_key):
        raise ValueError("members, tick_key: 32 zero bytes are the pot's key")
    if genesis.tick_key and len(genesis.tick_key) != 32:
        raise ValueError("tick_key: must be empty or have 32 bytes")
    if simulated and not genesis.tick_key:
        raise ValueError(f"chain_id: a '{SIMULATION_PREFIX}' chain runs on ticks, not on real time")
    if genesis.rules_version not in SUPPORTED_RULES:
        raise ValueError(f"rules_version: this software knows {SUPPORTED_RULES}")


def market_time_s(state: State, block_time_s: int, transactions: Sequence[bytes]) -> int:
    """The market time of a block: its own time, or on a tick chain that of the tick it starts
    with; never earlier than the block before."""
    chain = chain_of(state)
    if not chain.tick_key:
        return max(chain.market_time_s, block_time_s)
    if transactions and len(transactions[0]) <= MAX_TRANSACTION_BYTES:
        tick = _signed_tick(state, chain, transactions[0])
        if tick is not None:
            return max(chain.market_time_s, tick.time_s)
    return chain.market_time_s


def _signed_tick(state: State, chain: Chain, data: bytes) -> Tick | None:
    """The tick that this transaction carries, if the clock key signed it for now.

    What moves the clock is accepted: a tick that would be refused must change nothing.
    """
    parsed = _parse(data)
    if isinstance(parsed, Refusal):
        return None
    transaction, message = parsed
    if not isinstance(message, Tick) or message.signer != chain.tick_key:
        return None
    refusal = _authenticate(state, transaction, message)
    if refusal is None:
        refusal = _check_validity(transaction, message, message.time_s)
    return message if refusal is None else None


def check_tx(state: State, context: BlockContext, transaction: bytes) -> Receipt:
    """Admission: the same rules as in a block; a refused transaction leaves no trace. Where a block
    would fine its sender, it is let in, so that the refusal stands on record and is paid for."""
    refusal = _run(state, context, transaction, admission=True)
    return _receipt(transaction, None if refusal is not None and refusal.fine_ucoin else refusal)


def apply_block(state: State, context: BlockContext, transactions: Sequence[bytes]) -> BlockResult:
    """Execute a block: what its validators did wrong, its transactions in order, the rewards that
    have been earned, then what has become due."""
    chain = chain_of(state)
    if context.height >= chain.next_rules_height:
        chain = replace(chain, rules_version=chain.next_rules_version)
    if chain.rules_version not in SUPPORTED_RULES:
        raise RuntimeError(f"rules version {chain.rules_version} needs newer software")
    put_chain(state, replace(chain, market_time_s=context.market_time_s))
    found = equivocation.punish_equivocation(state, context)
    receipts = [
        _receipt(data, _run(state, context, data, admission=False)) for data in transactions
    ]
    paid = rewards.pay_rewards(state, context, any(each.ok for each in receipts))
    events = rounds.advance(state, context.market_time_s)
    return BlockResult(receipts=tuple(receipts), events=(*found, *paid, *events))


def _receipt(data: bytes, refusal: Refusal | None) -> Receipt:
    reason, field = (refusal.reason, refusal.field) if refusal is not None else (Reason.OK, "")
    return Receipt(transaction_id=digest(data), reason=int(reason), field=field)


def _run(state: State, context: BlockContext, data: bytes, admission: bool) -> Refusal | None:
    parsed = _parse(data)
    if isinstance(parsed, Refusal):
        return parsed
    transaction, message = parsed
    refusal = _authenticate(state, transaction, message)
    if refusal is not None:
        return refusal
    known = state.get(ACCOUNTS, message.signer)
    account = known if known is not None else Account()
    state.put(ACCOUNTS, message.signer, replace(account, nonce=account.nonce + 1))
    refusal = _judge(state, context, transaction, message)
    if refusal is not None and known is None:
        state.delete(ACCOUNTS, message.signer)
    elif refusal is not None and admission and not refusal.fine_ucoin:
        state.put(ACCOUNTS, message.signer, account)
    elif refusal is not None:
        accounts.move(state, message.signer, POT, refusal.fine_ucoin)
    return refusal


def _parse(data: bytes) -> tuple[Transaction, Message] | Refusal:
    if len(data) > MAX_TRANSACTION_BYTES:
        return Refusal(Reason.OVERSIZED, "transaction")
    try:
        return parse(data)
    except CodecError as error:
        return Refusal(Reason.MALFORMED, error.field)


def _authenticate(state: State, transaction: Transaction, message: Message) -> Refusal | None:
    """Chain, signature, signer and nonce. Only a wallet's first message needs no account."""
    chain_id = chain_of(state).chain_id
    if message.chain_id != chain_id:
        return Refusal(Reason.WRONG_CHAIN, "chain_id")
    if not transaction.is_signed(message.signer, chain_id):
        return Refusal(Reason.BAD_SIGNATURE, "signature")
    account = state.get(ACCOUNTS, message.signer)
    if account is None and not isinstance(message, OpenWallet):
        return Refusal(Reason.UNKNOWN_SIGNER, "signer")
    if message.nonce != (0 if account is None else account.nonce):
        return Refusal(Reason.WRONG_NONCE, "nonce")
    return None


def _judge(
    state: State, context: BlockContext, transaction: Transaction, message: Message
) -> Refusal | None:
    now_s = context.market_time_s
    if isinstance(message, Tick):
        now_s = max(now_s, message.time_s)
    refusal = _check_validity(transaction, message, now_s)
    if refusal is not None:
        return refusal
    return _dispatch(state, context, transaction, message)


def _check_validity(transaction: Transaction, message: Message, now_s: int) -> Refusal | None:
    if now_s > message.valid_until_s:
        return Refusal(Reason.EXPIRED, "valid_until_s")
    cosigned = transaction.cosigner or transaction.cosignature
    if cosigned and not transaction.is_cosigned(message.chain_id):
        return Refusal(Reason.BAD_COSIGNATURE, "cosignature")
    return None


def _tick(state: State, context: BlockContext, message: Tick) -> Refusal | None:
    """A tick that stands first in its block has already moved the block's time; no other does."""
    chain = chain_of(state)
    if not chain.tick_key:
        return Refusal(Reason.NOT_TICK_CLOCK, "signer")
    if message.signer != chain.tick_key:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if message.time_s < context.market_time_s:
        return Refusal(Reason.CLOCK_BACKWARDS, "time_s")
    if message.time_s != context.market_time_s:
        return Refusal(Reason.OUT_OF_ORDER, "time_s")
    return None


def _report(state: State, context: BlockContext, message: ReportReadings) -> Refusal | None:
    refusal = delivery.report_readings(state, context, message)
    if refusal is None:
        rounds.settle_early(state, message.round_id, context.market_time_s)
    return refusal


def _dispatch(
    state: State, context: BlockContext, transaction: Transaction, message: Message
) -> Refusal | None:
    cosigner = transaction.cosigner
    match message:
        case PlaceBuyOrder():
            return orders.place_buy_order(state, context, message, transaction.message_id)
        case PlaceSellOrder():
            return orders.place_sell_order(state, context, message, transaction.message_id)
        case CancelOrder():
            return orders.cancel_order(state, context, message)
        case ReportReadings():
            return _report(state, context, message)
        case OpenRound():
            return rounds.open_round(state, context, message)
        case CheckIn():
            return sites.check_in(state, context, message)
        case CheckOut():
            return sites.check_out(state, context, message)
        case OpenWallet():
            return accounts.open_wallet(state, context, message)
        case Mint():
            return accounts.mint(state, context, message, cosigner)
        case Withdraw():
            return accounts.withdraw(state, context, message)
        case Transfer():
            return accounts.transfer(state, context, message)
        case RegisterSite():
            return sites.register_site(state, context, message, cosigner)
        case RegisterPort():
            return sites.register_port(state, context, message)
        case PublishTariff():
            return sites.publish_tariff(state, context, message, cosigner)
        case PublishLimits():
            return sites.publish_limits(state, context, message)
        case ProposeChange():
            return members.propose_change(state, context, message, transaction.message_id)
        case Vote():
            return members.vote(state, context, message)
        case OpenDispute():
            return disputes.open_dispute(state, context, message)
        case ResolveDispute():
            return disputes.resolve_dispute(state, context, message)
        case ProposeClearing():
            return proposals.propose_clearing(state, context, message)
        case ProposeAuction():
            return auction_ends.propose_auction(state, context, message, transaction.message_id)
        case ReportAbsence():
            return absences.report_absence(state, context, message)
        case ConfirmPresence():
            return absences.confirm_presence(state, context, message)
        case SealOrder():
            return sealed.seal_order(state, context, message, transaction.message_id)
        case RevealOrder():
            return sealed.reveal_order(state, context, message)
        case ReviseOrder():
            return revisions.revise_order(state, context, message)
        case RequestOpening():
            return openings.request_opening(state, context, message)
        case ConsentOpening():
            return openings.consent_opening(state, context, message)
        case FundRewards():
            return rewards.fund_rewards(state, context, message)
        case RecordTrade():
            return trades.record_trade(state, context, message, transaction.message_id, cosigner)
        case Tick():
            return _tick(state, context, message)
        case _:
            assert_never(message)
