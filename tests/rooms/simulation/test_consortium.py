"""The parties' keys and the chain's name and genesis."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from peerwatt.contracts import ledger
from peerwatt.hosts.replica import Replica
from peerwatt.hosts.store import Store
from peerwatt.records.codec import decode
from peerwatt.records.members import Genesis, Role
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.consortium import CLOCK, ROLES, Keyring, chain_id_of, genesis_of

SIM = "sim-jpl-2019-08-21-0"
CHANGES: list[dict[str, Any]] = [
    {},
    {"site": "caltech"},
    {"date": "2019-08-22"},
    {"sellers": {"seed": 2}},
    {"sellers": {"wear": [0.03, 0.081]}},
    {"limit_kw": None},
    {"fees": {"levy": 0.001}},
    {"mechanism": "uniform"},
]


def test_a_key_depends_on_seed_label_and_chain() -> None:
    rings = [Keyring(seed, chain) for seed in (1, 2) for chain in (SIM, SIM + "1")]
    keys = [ring.key(label).public for ring in rings for label in ("aggregator", "issuer")]
    keys += [ring.wallet("x").public for ring in rings] + [ring.meter("x").public for ring in rings]
    assert len(set(keys)) == len(keys) == 16
    assert Keyring(1, SIM).wallet("x").public == Keyring(1, SIM).wallet("x").public


def test_derived_keys_are_for_simulations_only() -> None:
    with pytest.raises(ValueError, match="derived keys are for 'sim-' chains only"):
        Keyring(1, "jpl-2019").key("aggregator")


def test_other_assumptions_make_another_chain() -> None:
    names = [chain_id_of(DayConfig.model_validate(change)) for change in CHANGES]
    assert len(set(names)) == len(names)
    assert all(name.startswith("sim-") for name in names)
    assert chain_id_of(DayConfig()) == chain_id_of(DayConfig.model_validate({"site": "jpl"}))


def test_the_genesis_makes_six_members_with_one_role_each() -> None:
    keys = Keyring(1, SIM)
    genesis = genesis_of(keys, 1_566_370_800, 86_400)
    chain = Replica(ledger, Store(None), genesis)
    members = [member for _, member in chain.items("members")]
    assert {m.name: Role(m.roles) for m in members} == ROLES
    assert all(a.key < b.key for a, b in itertools.pairwise(members))
    assert decode(genesis, Genesis).tick_key == keys.key(CLOCK).public
    assert chain.chain_id == SIM
