"""Any message of any kind, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from peerwatt.hosts.cometbft.wire import Message, fields_of

NUMBERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Messages of a kind."""
    parts = {field.name: _values(field) for field in fields_of(kind).values()}
    return st.builds(kind, **parts)


def _values(field: Any) -> st.SearchStrategy[Any]:
    single: st.SearchStrategy[Any]
    if field.kind is bytes:
        single = st.binary(max_size=200)
    elif field.kind is str:
        single = st.text(max_size=20)
    elif field.kind is bool:
        single = st.booleans()
    elif field.kind is int:
        single = NUMBERS
    else:
        single = messages(field.kind)
    if field.repeated:
        return st.lists(single, max_size=4).map(tuple)
    return st.none() | single if field.default is None else single
