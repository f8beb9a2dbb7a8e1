"""No preference crosses: what is said in an auction, and of it on the ledger, is just this."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from peerwatt.records import auction, transactions
from peerwatt.records.codec import Record

SAID = {
    "Invitation": ("round_id", "orders_root", "run", "buyers", "sellers"),
    "SignedInvitation": ("invitation", "signature"),
    "Allocation": ("invitation", "iteration", "order_id", "energies_uwh"),
    "SignedAllocation": ("allocation", "signature"),
    "Bid": ("invitation", "iteration", "order_id", "answers", "amounts"),
    "SignedBid": ("bid", "signature"),
    "Said": ("answers", "amounts", "signature"),
    "LastBids": ("previous", "latest"),
    "Stalled": ("order_id", "invitation", "iteration", "previous", "latest"),
    "Rents": ("buyers", "sellers", "grid"),
}
OF_THE_LEDGER = {
    "ProposeAuction": (
        *("round_id", "orders_root", "run", "stalling", "iteration", "before", "bids", "rents"),
    ),
    "ReportAbsence": ("round_id", "order_ids"),
    "ConfirmPresence": ("round_id", "order_id"),
}
AMOUNTS = {"amounts", "energies_uwh", "buyers", "sellers", "grid", "run", "iteration"}
"""The only fields that hold numbers: bids, energies, rents, and which step it is."""


def records() -> dict[str, Any]:
    return {
        name: kind
        for name, kind in vars(auction).items()
        if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
    }


def test_nothing_else_is_said() -> None:
    """Who adds a field has to add it here, and see that it tells no utility, cost or minimum."""
    assert {name: kind.__struct_fields__ for name, kind in records().items()} == SAID
    header = transactions.Header.__struct_fields__
    kinds = {kind.__name__: kind for kind in get_args(transactions.Message)}
    for name, fields in OF_THE_LEDGER.items():
        assert kinds[name].__struct_fields__ == (*header, *fields), name


@pytest.mark.parametrize("name", [*SAID, *OF_THE_LEDGER])
def test_numbers_are_bids_energies_rents_and_steps(name: str) -> None:
    kind = records().get(name) or getattr(transactions, name)
    header = transactions.Header.__struct_fields__
    for each in msgspec.structs.fields(kind):
        if each.name not in header and _has_numbers(msgspec.inspect.type_info(each.type)):
            assert each.name in AMOUNTS, each.name


def _has_numbers(kind: msgspec.inspect.Type) -> bool:
    """Of its own, not of a record inside, which is looked at by itself."""
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return _has_numbers(kind.item_type)
    if isinstance(kind, msgspec.inspect.StructType):
        assert kind.cls.__name__ in SAID
        return False
    plain = (msgspec.inspect.BytesType, msgspec.inspect.StrType)
    assert isinstance(kind, (*plain, msgspec.inspect.IntType)), kind
    return isinstance(kind, msgspec.inspect.IntType)
