"""Members' votes move the engine's validators, and its evidence reaches the contracts."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from fake_engine import FakeEngine, Line
from msgspec.structs import replace

from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft.app import Application
from peerwatt.hosts.cometbft.node_files import VALIDATOR_POWER
from peerwatt.hosts.cometbft.parts import PublicKey, ValidatorUpdate
from peerwatt.hosts.cometbft.snapshots import Shelf
from peerwatt.hosts.store import Store
from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.members import Genesis, Member
from peerwatt.records.receipts import Reason
from peerwatt.records.signing import SigningKey

MEMBERS = sorted((SigningKey(bytes([n]) * 32) for n in range(4)), key=lambda key: key.public)
CLOCK = SigningKey(b"clock" + bytes(27))
VALIDATORS = [bytes([50 + n]) * 32 for n in range(4)]


def genesis(*validators: bytes) -> bytes:
    """Four members, the first of whom run these validators."""
    padded = [*validators, b"", b"", b"", b""]
    members = [
        Member(key=key.public, name=f"m{at}", roles=63, validator=padded[at])
        for at, key in enumerate(MEMBERS)
    ]
    first = decode(toy.genesis("sim-votes"), Genesis)
    return encode(replace(first, tick_key=CLOCK.public, members=tuple(members)))


def application(founded: bytes) -> Application:
    return Application(ledger, Store(None), founded, Shelf(Path("nowhere"), 0))


class Votes:
    """An engine whose members vote; each vote is a block."""

    def __init__(self, *validators: bytes) -> None:
        founded = genesis(*validators)
        self.app, self.engine = application(founded), FakeEngine(founded)
        self.engine.validators = tuple(map(update, sorted(validators)))
        self.engine.connect(self.app.answer)
        self._nonces = [0] * len(MEMBERS)

    def _send(self, member: int, kind: Any, **fields: Any) -> bytes:
        message = kind(
            chain_id="sim-votes",
            signer=MEMBERS[member].public,
            nonce=self._nonces[member],
            valid_until_s=1_000,
            **fields,
        )
        self._nonces[member] += 1
        assert self.engine.offer(tx.sign_message(message, MEMBERS[member])).code == 0
        return digest(encode(message))

    def carry(self, change: tx.Change) -> tuple[ValidatorUpdate, ...]:
        """Three of four members vote; what the block with the last vote tells the engine."""
        proposal = self._send(0, tx.ProposeChange, change=change)
        self._send(1, tx.Vote, proposal_id=proposal)
        assert self.engine.decide().validator_updates == ()
        self._send(2, tx.Vote, proposal_id=proposal)
        return self.engine.decide().validator_updates


def test_what_comes_after_a_tick_is_checked_at_its_time() -> None:
    """Two ticks wait; each has a block of its own, and what lies between is executed between."""
    votes = Votes()
    engine = votes.engine

    def tick(nonce: int, time_s: int) -> int:
        message = tx.Tick(
            chain_id="sim-votes",
            signer=CLOCK.public,
            nonce=nonce,
            valid_until_s=1_000,
            time_s=time_s,
        )
        return engine.offer(tx.sign_message(message, CLOCK)).code

    def change(valid_until_s: int) -> int:
        message = tx.ProposeChange(
            chain_id="sim-votes",
            signer=MEMBERS[0].public,
            nonce=0,
            valid_until_s=valid_until_s,
            change=with_validator(3, b""),
        )
        return engine.offer(tx.sign_message(message, MEMBERS[0])).code

    assert [tick(0, 50), change(49)] == [0, Reason.EXPIRED]
    assert tick(1, 49) == Reason.CLOCK_BACKWARDS
    assert [change(60), tick(1, 100)] == [0, 0]
    times = []
    while engine.mempool:
        assert all(each.code == 0 for each in engine.decide().tx_results)
        head = votes.app.chain.head
        assert head is not None
        times.append(head.header.context.market_time_s)
    assert times == [50, 100]


def update(key: bytes, power: int = VALIDATOR_POWER) -> ValidatorUpdate:
    return ValidatorUpdate(pub_key=PublicKey(ed25519=key), power=power)


def with_validator(member: int, validator: bytes) -> tx.AddMember:
    changed = Member(key=MEMBERS[member].public, name=f"m{member}", roles=63, validator=validator)
    return tx.AddMember(member=changed)


def test_a_members_validator_comes_changes_its_key_and_goes() -> None:
    a, b, c, d = VALIDATORS
    votes = Votes(a, b)
    assert votes.carry(with_validator(2, c)) == (update(c),)
    assert votes.carry(with_validator(2, d)) == (update(c, 0), update(d))
    assert votes.carry(with_validator(2, b"")) == (update(d, 0),)
    assert votes.carry(tx.RemoveMember(key=MEMBERS[1].public)) == (update(b, 0),)
    assert votes.engine.decide().validator_updates == ()


def test_a_member_without_a_validator_moves_nothing() -> None:
    votes = Votes(*VALIDATORS[:2])
    assert votes.carry(with_validator(3, b"")) == ()
    assert votes.carry(tx.RemoveMember(key=MEMBERS[3].public)) == ()


def test_a_block_executed_again_tells_the_same(tmp_path: Path) -> None:
    """The engine asks again before anything was kept: the set is compared with the kept one."""
    votes = Votes(*VALIDATORS[:2])
    proposal = votes._send(0, tx.ProposeChange, change=with_validator(2, VALIDATORS[2]))
    for member in (1, 2):
        votes._send(member, tx.Vote, proposal_id=proposal)
    steps = votes.engine.steps()
    while next(steps) != "finalized":
        continue
    again = votes.engine.line.ask(votes.engine.blocks[-1], abci.ResponseFinalizeBlock)
    assert again == votes.engine.results[-1]
    assert again.validator_updates == (update(VALIDATORS[2]),)


def test_evidence_against_a_members_validator_is_on_record() -> None:
    votes = Votes(*VALIDATORS[:2])
    address = sha256(VALIDATORS[1]).digest()[:20]
    result = votes.engine.decide(misbehavior=[address, b"nobody we know of..."])
    assert [each.type for each in result.events] == ["equivocated"]
    ((key, _),) = votes.app.chain.items("equivocations")
    assert key[8:] == MEMBERS[1].public


@pytest.mark.parametrize(
    "engines",
    [
        (),
        (update(VALIDATORS[0]),),
        (update(VALIDATORS[0]), update(VALIDATORS[1]), update(VALIDATORS[2])),
        (update(VALIDATORS[0]), update(VALIDATORS[1], VALIDATOR_POWER + 1)),
        (update(VALIDATORS[0]), update(VALIDATORS[2])),
    ],
)
def test_an_engine_with_other_validators_than_the_members_does_not_begin(
    engines: tuple[ValidatorUpdate, ...],
) -> None:
    founded = genesis(*VALIDATORS[:2])
    engine = FakeEngine(founded)
    engine.validators = engines
    line = Line(application(founded).answer)
    answer = line.ask(engine._init_chain(), abci.ResponseException)
    assert answer.error == (
        "InitChain: validators: the engine's are not those of the ledger's members, "
        f"each with power {VALIDATOR_POWER}"
    )


def test_where_no_member_names_a_validator_the_engines_are_taken() -> None:
    founded = genesis()
    engine = FakeEngine(founded)
    engine.validators = (update(VALIDATORS[3], 5),)
    engine.connect(application(founded).answer)
    engine.decide()
