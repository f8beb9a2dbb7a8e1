"""The members of a test network: its genesis, and their votes on a new validator.

Knows the simulated consortium, its keys, and a network as a client sees it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from peerwatt.agents.signer import Signer
from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft import localnet, running
from peerwatt.hosts.cometbft.client import CometHost
from peerwatt.hosts.cometbft.localnet import Network, Node
from peerwatt.hosts.cometbft.node_files import KVSTORE
from peerwatt.records.codec import decode, encode
from peerwatt.records.members import Genesis, Member
from peerwatt.records.receipts import Reason
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import AddMember, Message, ProposeChange, Transaction, Vote
from peerwatt.simulation.consortium import CLOCK, ROLES, Keyring, genesis_of
from peerwatt.simulation.timetable import DISPUTE_WINDOW_S

FIRST = ("aggregator", "grid-operator", "regulator", "supplier", "issuer", "registration-authority")
"""Whose the first validators are; more are those of members without a role."""
VALID_S = 3_600
UPDATE_DELAY = 3
"""In so many blocks an engine's nodes have taken in a change of validators."""
LEVEL_TIMEOUT_S = 120.0


def founded(
    seed: int, chain_id: str, validators: int, *, ticks: bool
) -> tuple[list[str], bytes, dict[str, SigningKey]]:
    """A test network's beginning: who runs validators, the genesis, and every party's key.

    Args:
        seed: from which all keys follow, with the chain id.
        chain_id: the chain's name.
        validators: how many members run one.
        ticks: whether a clock's messages move market time; else block time does.
    """
    keys = Keyring(seed, chain_id)
    known = decode(genesis_of(keys, 0, DISPUTE_WINDOW_S), Genesis)
    more = [f"validator-{number}" for number in range(len(FIRST) + 1, validators + 1)]
    names = [*FIRST, *more][:validators]
    members = [*known.members, *(_member(keys, name) for name in more)]
    members = [
        replace(each, validator=localnet.validator_key(seed, chain_id, each.name).public)
        if each.name in names
        else each
        for each in members
    ]
    genesis = replace(known, members=tuple(sorted(members, key=lambda member: member.key)))
    if not ticks:
        genesis = replace(genesis, tick_key=b"")
    parties = [*ROLES, *more, *([CLOCK] if ticks else [])]
    return names, encode(genesis), {name: keys.key(name) for name in parties}


def _member(keys: Keyring, name: str) -> Member:
    return Member(key=keys.key(name).public, name=name, roles=0)


@contextmanager
def host_of(network: Network) -> Iterator[CometHost]:
    """The network's chain as it is now.

    Raises:
        ValueError: it does not run the ledger.
        RpcError: no node can be asked.
    """
    if network.app == KVSTORE:
        raise ValueError(f"{network.folder}: runs {KVSTORE}, which has no members")
    document = (network.folder / localnet.GENESIS).read_bytes()
    host = CometHost(ledger, [node.rpc for node in network.nodes], document)
    try:
        host.sync()
        yield host
    finally:
        host.close()


def newest_header(host: CometHost) -> tuple[int, str]:
    """The height and hash of the newest header, which enough validators signed."""
    header = host.engine_header(host.height)
    return header.height, header.hash.hex().upper()


def wait_until_level(network: Network, node: Node, height: int) -> None:
    """Wait until a node has come as far as others were.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline_s = time.monotonic() + LEVEL_TIMEOUT_S
    while True:
        (status,) = running.statuses(network, [node])
        if status.height is not None and status.height >= height:
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"node '{node.name}' got to {status.height}, not to {height}")
        time.sleep(running.POLL_S)


def vote_in(network: Network, host: CometHost, node: Node) -> int:
    """Have the test members vote a node's key in as the validator of the member of its name, a new
    member if there is none; the height at which it was decided, once the new validator signs.

    Raises:
        ValueError: it is one already, or the ledger refuses the change.
    """
    known = {member.name: member for _, member in host.items("members")}
    member = known.get(node.name)
    if member is None:
        keys = Keyring(network.seed, network.chain_id)
        member = _member(keys, node.name)
        network.keep_key(node.name, keys.key(node.name))
    elif member.validator:
        raise ValueError(f"NAME: '{node.name}' runs a validator already")
    change = AddMember(member=replace(member, validator=network.validator_key(node)))
    voters = [_signer(network, host, name) for name in sorted(known)]
    proposal = _sign(voters[0], ProposeChange, change=change)
    proposal_id = decode(proposal, Transaction).message_id
    height = _confirm(host, proposal)
    for voter in voters[1:]:
        if _is_validator(host, change.member):
            break
        height = _confirm(host, _sign(voter, Vote, proposal_id=proposal_id))
    host.wait_until(lambda: host.height >= height + UPDATE_DELAY)
    return height


def _is_validator(host: CometHost, member: Member) -> bool:
    found = host.get("members", member.key)
    return found is not None and found.validator == member.validator


def _signer(network: Network, host: CometHost, name: str) -> Signer:
    key = network.key(name)
    account = host.get("accounts", key.public)
    return Signer(key, host, nonce=0 if account is None else account.nonce)


def _sign(voter: Signer, kind: type[Message], **fields: Any) -> bytes:
    market_time_s = voter.host.get("chain", b"chain").market_time_s
    return voter.sign(kind, valid_until_s=market_time_s + VALID_S, **fields)


def _confirm(host: CometHost, transaction: bytes) -> int:
    found = host.confirm(transaction)
    if found.height is None or not found.receipt.ok:
        reason = Reason(found.receipt.reason)
        raise ValueError(f"{found.receipt.field}: the ledger refuses it ({reason.name})")
    return found.height
