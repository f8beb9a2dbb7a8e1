"""What a block may be: sizes, form, and ticks at the start only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.hosts.cometbft import proposals
from peerwatt.hosts.cometbft.proposals import is_tick, problem, take
from peerwatt.hosts.cometbft.wire import varint
from peerwatt.records.chain import MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import (
    MAX_TRANSACTION_BYTES,
    Tick,
    Transfer,
    sign_message,
)

KEY = SigningKey(bytes(32))
ABOUT = {"chain_id": "sim-toy", "signer": KEY.public, "valid_until_s": 9}
TICKS = [sign_message(Tick(nonce=n, time_s=n, **ABOUT), KEY) for n in range(3)]  # type: ignore[arg-type]
MOVES = [
    sign_message(Transfer(nonce=n, to=KEY.public, amount_ucoin=1, **ABOUT), KEY)  # type: ignore[arg-type]
    for n in range(3)
]
ROOM = 1 << 24


def size_in_block(transaction: bytes) -> int:
    return 1 + len(varint(len(transaction))) + len(transaction)


def test_ticks_are_told_from_all_else() -> None:
    assert all(map(is_tick, TICKS))
    assert not any(map(is_tick, [*MOVES, b"", b"garbage", TICKS[0][:-1]]))


def test_a_tick_starts_a_block_of_its_own() -> None:
    a, b, c = MOVES
    first, second, third = TICKS
    assert take([first, a, b], ROOM) == [first, a, b]
    assert take([a, b, first, c], ROOM) == [a, b]
    assert take([first, second, a], ROOM) == [first]
    assert take([second, a, third, b], ROOM) == [second, a]
    assert take([], ROOM) == []


def test_what_no_block_can_hold_is_passed_over() -> None:
    a, b, _ = MOVES
    assert take([a, b"", bytes(MAX_TRANSACTION_BYTES + 1), b], ROOM) == [a, b]


def test_a_block_ends_where_the_engines_room_does() -> None:
    sizes = [size_in_block(each) for each in MOVES]
    assert take(MOVES, sum(sizes)) == MOVES
    assert take(MOVES, sum(sizes) - 1) == MOVES[:2]
    assert take(MOVES, sizes[0] - 1) == []


def test_a_block_ends_where_ours_does(monkeypatch: pytest.MonkeyPatch) -> None:
    large = [bytes([n]) * MAX_TRANSACTION_BYTES for n in range(17)]
    assert len(take(large, 1 << 30)) == MAX_BLOCK_BYTES // MAX_TRANSACTION_BYTES
    small = [b"%d" % n for n in range(MAX_BLOCK_TRANSACTIONS + 1)]
    assert take(small, 1 << 30) == small[:-1]


@pytest.mark.parametrize(
    ("transactions", "why"),
    [
        ([MOVES[0], TICKS[0]], "transactions[1]: is a tick, which may stand first only"),
        ([TICKS[0], TICKS[1]], "transactions[1]: is a tick, which may stand first only"),
        ([MOVES[0], b""], "transactions[1]: is empty"),
        (
            [bytes(MAX_TRANSACTION_BYTES + 1)],
            f"transactions[0]: has {MAX_TRANSACTION_BYTES + 1} bytes, "
            f"at most {MAX_TRANSACTION_BYTES} are allowed",
        ),
        (
            [b"x"] * (MAX_BLOCK_TRANSACTIONS + 1),
            f"transactions: has {MAX_BLOCK_TRANSACTIONS + 1}, at most",
        ),
        ([bytes(MAX_TRANSACTION_BYTES)] * 17, "transactions: have 17825792 bytes, at most"),
    ],
)
def test_each_problem_in_one_line(transactions: list[bytes], why: str) -> None:
    found = problem(transactions)
    assert found is not None
    assert found.startswith(why)


@pytest.mark.parametrize("transactions", [[], [TICKS[0]], [TICKS[0], *MOVES], [b"\x01garbage"]])
def test_what_its_transactions_do_is_no_problem_of_a_block(transactions: list[bytes]) -> None:
    assert problem(transactions) is None


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*TICKS, *MOVES, b"", b"x", b"y" * 300]), max_size=12),
    st.integers(0, 2_000),
    st.integers(0, 6),
)
def test_what_is_proposed_is_accepted_and_nothing_overtakes(
    waiting: list[bytes], room: int, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals, "MAX_BLOCK_TRANSACTIONS", most)
        taken = take(waiting, room)
    assert problem(taken) is None
    assert sum(map(size_in_block, taken)) <= room
    assert len(taken) <= most
    assert taken == [each for each in waiting if each][: len(taken)]
