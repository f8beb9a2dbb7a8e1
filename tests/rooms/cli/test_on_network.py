"""`--network` where there is no network, or none that could be asked: one line, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Peerwatt = Callable[..., Any]
DAY = ("day", "--site", "caltech", "--date", "2019-06-12", "--out", "result")


@pytest.mark.parametrize("command", [DAY, ("demo", "--out", "result"), ("verify",)])
def test_a_folder_that_is_no_network(
    command: tuple[str, ...], peerwatt: Peerwatt, tmp_path: Path
) -> None:
    complaint = peerwatt(*command, "--network", "nowhere").complaint
    assert complaint == "nowhere: is no network (it has no network.json)"
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_does_not_run(peerwatt: Peerwatt, tmp_path: Path) -> None:
    assert peerwatt("network", "create", "net", "--base-port", 9).code == 0
    complaint = peerwatt(*DAY, "--network", "net").complaint
    assert complaint.startswith("no node can be used; run: peerwatt network start net (http://")
    assert not (tmp_path / "result").exists()
    found = peerwatt("verify", "--network", "net")
    assert found.code == 1
    assert "could not be asked" in found.out


def test_a_network_has_a_chain_id_already(peerwatt: Peerwatt) -> None:
    words = ("--network", "net", "--chain-id", "sim-mine")
    assert peerwatt(*DAY, *words).complaint == "--chain-id: the network's chain has its own"


@pytest.mark.parametrize("chain_id", ["mine", "sim-" + "x" * 80, "sim-Ä"])
def test_a_name_that_no_test_chain_can_have(
    chain_id: str, peerwatt: Peerwatt, tmp_path: Path
) -> None:
    assert "chain_id" in peerwatt(*DAY, "--chain-id", chain_id).complaint
    assert list(tmp_path.iterdir()) == []


def test_verify_needs_something_to_verify(peerwatt: Peerwatt) -> None:
    why = "what: name a run's folder or a receipt, or --network alone"
    assert peerwatt("verify").complaint == why
    assert peerwatt("verify", "--network", "net", "--witness", "0" * 64).code == 2
