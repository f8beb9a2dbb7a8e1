"""Coins: accounts, holds, the pot, minting against deposits, withdrawing, transfers.

Knows state and records. Money moves only through the functions at the top,
none of which can make an account go below zero.
"""

from __future__ import annotations

from msgspec.structs import replace

from peerwatt.contracts.members import has_role
from peerwatt.contracts.state import (
    ACCOUNTS,
    DEPOSITS,
    MEMBERS,
    Deposit,
    InvariantError,
    Refusal,
    State,
    chain_of,
    must,
    put_chain,
)
from peerwatt.records.members import Account, Role
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.signing import verify
from peerwatt.records.transactions import WALLET_DOMAIN, Mint, OpenWallet, Transfer, Withdraw
from peerwatt.units import MAX_UCOIN


def account_of(state: State, key: bytes) -> Account:
    """The account of a key that has to have one."""
    return must(state.get(ACCOUNTS, key))


def credit(state: State, key: bytes, amount_ucoin: int) -> None:
    """Add free coins to an account."""
    _change(state, key, amount_ucoin, 0)


def spend(state: State, key: bytes, amount_ucoin: int) -> None:
    """Take free coins from an account."""
    _change(state, key, -amount_ucoin, 0)


def hold(state: State, key: bytes, amount_ucoin: int) -> None:
    """Set free coins aside."""
    _change(state, key, -amount_ucoin, amount_ucoin)


def release(state: State, key: bytes, amount_ucoin: int) -> None:
    """Free coins that were set aside."""
    _change(state, key, amount_ucoin, -amount_ucoin)


def spend_held(state: State, key: bytes, held_ucoin: int, spent_ucoin: int) -> None:
    """End a hold: spend part of it, free the rest."""
    if spent_ucoin > held_ucoin:
        raise InvariantError(f"hold of {held_ucoin} ucoin cannot pay {spent_ucoin}")
    _change(state, key, held_ucoin - spent_ucoin, -held_ucoin)


def _change(state: State, key: bytes, free_ucoin: int, held_ucoin: int) -> None:
    if free_ucoin == 0 and held_ucoin == 0:
        return
    account = account_of(state, key)
    free, held = account.free_ucoin + free_ucoin, account.held_ucoin + held_ucoin
    if free < 0 or held < 0:
        raise InvariantError(f"account {key.hex()} would go below zero")
    state.put(ACCOUNTS, key, replace(account, free_ucoin=free, held_ucoin=held))


def move(state: State, payer: bytes, payee: bytes, amount_ucoin: int) -> None:
    """Free coins go from one account to another."""
    spend(state, payer, amount_ucoin)
    credit(state, payee, amount_ucoin)


def open_wallet(state: State, context: BlockContext, message: OpenWallet) -> Refusal | None:
    """A new key, whose empty account the ledger has just made, becomes a wallet; never a member's,
    as wallets and members are kept apart."""
    account = account_of(state, message.signer)
    authority = state.get(MEMBERS, message.authority)
    if account.wallet or state.get(MEMBERS, message.signer) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "signer")
    if authority is None or not authority.roles & Role.REGISTRATION_AUTHORITY:
        return Refusal(Reason.UNKNOWN_MEMBER, "authority")
    if not verify(
        message.authority, WALLET_DOMAIN, message.chain_id, message.signer, message.token
    ):
        return Refusal(Reason.BAD_COSIGNATURE, "token")
    # --- checked; from here on only writes ---
    state.put(ACCOUNTS, message.signer, replace(account, wallet=True))
    return None


def mint(state: State, context: BlockContext, message: Mint, cosigner: bytes) -> Refusal | None:
    """The issuer creates coins for an account, once per deposit and within the epoch's cap; over
    the chain's life at most what an account can count."""
    chain = chain_of(state)
    epoch = context.market_time_s // chain.mint_epoch_s
    minted_before = chain.minted_in_epoch_ucoin if epoch == chain.mint_epoch else 0
    minted = minted_before + message.amount_ucoin
    issued = chain.issued_ucoin + message.amount_ucoin
    if not has_role(state, message.signer, Role.ISSUER):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if not has_role(state, cosigner, Role.REGULATOR) or cosigner == message.signer:
        return Refusal(Reason.BAD_COSIGNATURE, "cosigner")
    if state.get(ACCOUNTS, message.to) is None:
        return Refusal(Reason.UNKNOWN_ACCOUNT, "to")
    if state.get(DEPOSITS, message.deposit_reference) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "deposit_reference")
    if minted > chain.mint_cap_ucoin or issued > MAX_UCOIN:
        return Refusal(Reason.OVER_CAP, "amount_ucoin")
    # --- checked; from here on only writes ---
    deposit = Deposit(to=message.to, amount_ucoin=message.amount_ucoin)
    state.put(DEPOSITS, message.deposit_reference, deposit)
    put_chain(
        state,
        replace(chain, mint_epoch=epoch, minted_in_epoch_ucoin=minted, issued_ucoin=issued),
    )
    credit(state, message.to, message.amount_ucoin)
    return None


def withdraw(state: State, context: BlockContext, message: Withdraw) -> Refusal | None:
    """The signer's coins leave the ledger."""
    if message.amount_ucoin > account_of(state, message.signer).free_ucoin:
        return Refusal(Reason.UNFUNDED, "amount_ucoin")
    # --- checked; from here on only writes ---
    chain = chain_of(state)
    withdrawn = chain.withdrawn_ucoin + message.amount_ucoin
    put_chain(state, replace(chain, withdrawn_ucoin=withdrawn))
    spend(state, message.signer, message.amount_ucoin)
    return None


def transfer(state: State, context: BlockContext, message: Transfer) -> Refusal | None:
    """The signer's coins go to another account."""
    if state.get(ACCOUNTS, message.to) is None:
        return Refusal(Reason.UNKNOWN_ACCOUNT, "to")
    if message.amount_ucoin > account_of(state, message.signer).free_ucoin:
        return Refusal(Reason.UNFUNDED, "amount_ucoin")
    # --- checked; from here on only writes ---
    move(state, message.signer, message.to, message.amount_ucoin)
    return None
