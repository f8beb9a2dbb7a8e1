"""The fuzzing itself is tried: bugs planted in the contracts and the codec must be found by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fuzz_decoders
import msgspec
import pytest
from fuzz_ledger import ledger
from fuzz_seeds import seeds
from fuzz_targets import kept
from msgspec.structs import replace

from peerwatt.contracts import accounts, delivery, disputes, orders, proposals, rounds, sites
from peerwatt.contracts.state import ACCOUNTS, LIMITS, POT, ROUNDS, Refusal, State, must
from peerwatt.records.receipts import Reason

Patch = pytest.MonkeyPatch


def finds(broken: str) -> None:
    """The corpus is enough to find what was planted."""
    with pytest.raises(Exception, match=broken):
        list(map(ledger, (*kept("ledger"), *seeds()["ledger"])))


def around(patch: Patch, room: Any, name: str, changed: Callable[..., Any]) -> None:
    """Have a contract's answer pass through `changed(answer, state, context, message)`."""
    contract = getattr(room, name)

    def planted(state: State, context: Any, message: Any, *more: Any) -> Any:
        return changed(contract(state, context, message, *more), state, context, message)

    patch.setattr(room, name, planted)


def test_coins_out_of_nothing(monkeypatch: Patch) -> None:
    def doubled(answer: Refusal | None, state: State, context: Any, message: Any) -> Any:
        if answer is None:
            accounts.credit(state, message.to, 1)
        return answer

    around(monkeypatch, accounts, "transfer", doubled)
    finds("supply is")


@pytest.mark.parametrize(
    ("room", "name"),
    [
        (orders, "place_buy_order"),
        (orders, "cancel_order"),
        (delivery, "report_readings"),
        (disputes, "open_dispute"),
        (disputes, "resolve_dispute"),
        (proposals, "propose_clearing"),
        (rounds, "open_round"),
    ],
)
def test_a_refusal_that_writes(monkeypatch: Patch, room: Any, name: str) -> None:
    def trace(answer: Refusal | None, state: State, context: Any, message: Any) -> Any:
        if answer is not None:
            pot = must(state.get(ACCOUNTS, POT))
            state.put(ACCOUNTS, POT, replace(pot, nonce=pot.nonce + 1))
        return answer

    around(monkeypatch, room, name, trace)
    finds("left a trace")


def test_a_refusal_that_costs(monkeypatch: Patch) -> None:
    """A fine is for prices that prove nothing, not for coming late."""

    def fined(answer: Refusal | None, state: State, context: Any, message: Any) -> Any:
        rich = must(state.get(ACCOUNTS, message.signer)).free_ucoin > 0
        return answer._replace(fine_ucoin=1) if answer is not None and rich else answer

    around(monkeypatch, accounts, "withdraw", fined)
    finds("admission")


def test_an_error_in_the_middle_of_a_block(monkeypatch: Patch) -> None:
    def raised(answer: Refusal | None, state: State, context: Any, message: Any) -> Any:
        return answer if message.readings else message.readings[0]

    around(monkeypatch, delivery, "report_readings", raised)
    finds("out of range")


def test_admission_that_is_softer_than_the_block(monkeypatch: Patch) -> None:
    asked = []

    def harder(answer: Refusal | None, state: State, context: Any, message: Any) -> Any:
        asked.append(message)
        return Refusal(Reason.TOO_LATE, "wallet") if len(asked) % 2 else answer

    around(monkeypatch, sites, "check_in", harder)
    finds("admission")


def test_a_record_that_cannot_be_read_back(monkeypatch: Patch) -> None:
    def negative(answer: Refusal | None, state: State, context: Any, message: Any) -> Any:
        for at, limit in state.items(LIMITS):
            state.put(LIMITS, at, replace(limit, import_limit_w=-1))
        return answer

    around(monkeypatch, sites, "publish_limits", negative)
    finds("import_limit_w")


def test_an_order_that_nothing_counts(monkeypatch: Patch) -> None:
    def uncounted(answer: Refusal | None, state: State, context: Any, message: Any) -> Any:
        if answer is None:
            round_ = must(state.get(ROUNDS, message.round_id))
            state.put(ROUNDS, message.round_id, replace(round_, order_count=0))
        return answer

    around(monkeypatch, orders, "place_sell_order", uncounted)
    finds("order_count")


def test_a_codec_that_takes_another_form(monkeypatch: Patch) -> None:
    """Without the check that bytes are canonical, a longer form of a number is found."""
    monkeypatch.setattr(
        fuzz_decoders, "decode", lambda data, kind: msgspec.msgpack.decode(data, type=kind)
    )
    data = seeds()["witness"][0]
    height = data.index(b"\xc4\x20", 3) - 1
    assert data[height] < 0x80
    longer = data[:height] + b"\xcc" + data[height:]
    with pytest.raises(AssertionError):
        fuzz_decoders.witness(longer)
