"""Double auctions: money and energy add up, nobody loses, every order's outcome has its reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.auction_book import (
    Band,
    Book,
    Network,
    Orders,
    OutsideBandError,
    UnfitOrderError,
    WrongStepsError,
)
from peerwatt.mechanisms.auction_result import Auction, Unmet, welfare_of
from peerwatt.mechanisms.double_auction import MECHANISMS, clear_double_auction
from peerwatt.mechanisms.merit_auction import clear_uniform_price
from peerwatt.mechanisms.welfare_book import BookError, NotFiniteError, RangeError, ShapeError

BAND = Band(feed_in=0.05, retail=0.35)
NETWORKS = (
    Network(),
    Network(local_fee=0.02),
    Network(local_fee=0.01, fee_per_km=0.004, loss_per_km=0.01),
)


def random_side(rng: np.random.Generator, name: str, *, sign: float) -> Orders:
    """Few orders with many ties, as the mechanism can take them."""
    what = MECHANISMS[name]
    count = int(rng.integers(0, 9))
    steps = rng.integers(1, 4, count) if what.takes_steps else np.ones(count, dtype=np.intp)
    order = np.repeat(np.arange(count), steps)
    price = np.round(rng.uniform(BAND.feed_in, BAND.retail, len(order)), int(rng.integers(2, 5)))
    price = price[np.lexsort((sign * price, order))]
    kwh = np.full(len(order), 1.5) if what.one_size else rng.uniform(0.2, 5, len(order)).round(1)
    distance = np.full(count, 2.0) if what.one_size else rng.uniform(0, 5, count)
    first = np.flatnonzero(np.diff(order, prepend=-1))
    least = kwh[first] * rng.choice([0.0, 0.5, 1.0], count) if what.takes_minima else 0.0
    return Orders(price=price, kwh=kwh, order=order, minimum_kwh=least, distance_km=distance)


def random_book(seed: int, name: str) -> Book:
    rng = np.random.default_rng(seed)
    network = Network() if MECHANISMS[name].one_size else NETWORKS[int(rng.integers(3))]
    return Book(
        bids=random_side(rng, name, sign=-1.0),
        asks=random_side(rng, name, sign=1.0),
        network=network,
        band=BAND if rng.integers(2) else None,
    )


def cost_by_order(orders: Orders, kwh: np.ndarray) -> np.ndarray:
    """(orders,) worth of awards by the orders' own prices, one by one."""
    return np.array(
        [
            welfare_of(orders, np.where(np.arange(len(orders)) == i, kwh, 0))
            for i in range(len(orders))
        ]
    )


def assert_adds_up(found: Auction, book: Book) -> None:
    into = 1 - book.network.loss_per_km * np.asarray(book.bids.distance_km)
    out = 1 - book.network.loss_per_km * np.asarray(book.asks.distance_km)
    bought, sold = (found.bought_kwh / into).sum(), (found.sold_kwh * out).sum()
    assert bought == pytest.approx(sold, abs=1e-9)
    assert found.paid.sum() == pytest.approx(found.earned.sum() + found.fees + found.surplus)
    trades = found.trades
    for row, of, kwh in (
        (trades.buyer, found.bought_kwh, trades.received_kwh),
        (trades.seller, found.sold_kwh, trades.sent_kwh),
    ):
        np.testing.assert_allclose(np.bincount(row, kwh, len(of)), of, atol=1e-9)
    for row, of, money in (
        (trades.buyer, found.paid, trades.paid),
        (trades.seller, found.earned, trades.earned),
    ):
        np.testing.assert_allclose(np.bincount(row, money, len(of)), of, atol=1e-9)
    assert (trades.received_kwh > 0).all()


def assert_reasoned(found: Auction, book: Book) -> None:
    for orders, kwh, unmet, others in (
        (book.bids, found.bought_kwh, found.bid_unmet, book.asks),
        (book.asks, found.sold_kwh, found.ask_unmet, book.bids),
    ):
        full = kwh >= orders.whole_kwh * (1 - 1e-9)
        assert ((unmet == Unmet.NOTHING) == full).all()
        assert (kwh >= 0).all()
        assert (kwh <= orders.whole_kwh * (1 + 1e-9)).all()
        if len(others) == 0:
            assert (unmet == Unmet.OTHER_SIDE).all()


@pytest.mark.parametrize("name", MECHANISMS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_money_and_energy_add_up_and_nobody_loses(name: str, seed: int) -> None:
    book = random_book(seed, name)
    found = clear_double_auction(book, name, seed=seed)
    assert_adds_up(found, book)
    assert_reasoned(found, book)
    assert (found.paid <= cost_by_order(book.bids, found.bought_kwh) + 1e-9).all()
    assert (found.earned >= cost_by_order(book.asks, found.sold_kwh) - 1e-9).all()
    what = MECHANISMS[name].budget
    if what == "balanced":
        assert found.surplus == pytest.approx(0, abs=1e-9)
    elif what == "surplus":
        assert found.surplus >= -1e-9
    gains = found.paid.sum() - found.earned.sum() - found.fees
    assert gains == pytest.approx(found.surplus, abs=1e-9)


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_same_seed_gives_the_same_result(name: str) -> None:
    book = random_book(5, name)
    first, second = (clear_double_auction(book, name, seed=9) for _ in range(2))
    for field in ("bought_kwh", "sold_kwh", "paid", "earned", "bid_unmet", "ask_unmet"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


def test_only_vcg_needs_money_added_and_it_does() -> None:
    book = Book(
        bids=Orders(price=np.array([10.0]), kwh=np.ones(1)),
        asks=Orders(price=np.array([4.0]), kwh=np.ones(1)),
    )
    found = clear_double_auction(book, "vcg")
    assert (found.paid[0], found.earned[0], found.surplus) == (4.0, 10.0, -6.0)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_minimum_is_met_or_nothing_is_awarded(seed: int) -> None:
    book = random_book(seed, "uniform")
    found = clear_uniform_price(book, seed=seed)
    for orders, kwh, unmet in (
        (book.bids, found.bought_kwh, found.bid_unmet),
        (book.asks, found.sold_kwh, found.ask_unmet),
    ):
        least = np.asarray(orders.minimum_kwh)
        assert ((kwh == 0) | (kwh >= least - 1e-9)).all()
        assert (kwh[unmet == Unmet.MINIMUM] == 0).all()


def test_ties_are_broken_by_the_seed_and_not_by_place_in_the_book() -> None:
    book = Book(
        bids=Orders(price=np.full(40, 0.2), kwh=np.ones(40)),
        asks=Orders(price=np.full(20, 0.1), kwh=np.ones(20)),
    )
    served = [clear_uniform_price(book, seed=seed).bought_kwh for seed in range(200)]
    often = np.mean(served, axis=0)
    assert often.min() > 0.3
    assert often.max() < 0.7


def test_fees_and_losses_decide_who_trades() -> None:
    bids = Orders(price=np.array([0.20]), kwh=np.ones(1))
    near, far = (
        Orders(price=np.array([0.15]), kwh=np.full(1, 2.0), distance_km=km) for km in (0.0, 9.0)
    )
    network = Network(local_fee=0.02, fee_per_km=0.004, loss_per_km=0.005)
    assert clear_uniform_price(Book(bids=bids, asks=near, network=network)).bought_kwh[0] == 1
    found = clear_uniform_price(Book(bids=bids, asks=far, network=network))
    # 0.15 / 0.955 + 0.02 + 0.036 = 0.2131 at the hub
    assert found.bought_kwh[0] == 0
    assert Unmet(found.bid_unmet[0]) is Unmet.PRICE
    assert "fees and losses" in Unmet.PRICE.words
    met = clear_uniform_price(Book(bids=bids, asks=near, network=network), k=0.0)
    assert met.ask_price == pytest.approx(0.17)
    assert met.earned[0] == pytest.approx(0.15)
    assert met.fees == pytest.approx(0.02)


def test_the_uniform_price_moves_between_both_sides_with_k() -> None:
    book = Book(
        bids=Orders(price=np.array([0.3, 0.2]), kwh=np.ones(2)),
        asks=Orders(price=np.array([0.1, 0.25]), kwh=np.ones(2)),
    )
    prices = [clear_uniform_price(book, k=k).bid_price for k in (0.0, 0.5, 1.0)]
    assert prices == pytest.approx([0.2, 0.225, 0.25])
    with pytest.raises(ValueError, match=r"k must lie in \[0, 1\], not 1.5"):
        clear_uniform_price(book, k=1.5)


def test_huangs_longer_side_gives_up_equal_amounts() -> None:
    book = Book(
        bids=Orders(price=np.array([9.0, 8, 7, 6]), kwh=np.array([1.0, 4, 6, 10])),
        asks=Orders(price=np.array([1.0, 2]), kwh=np.array([8.0, 20])),
    )
    found = clear_double_auction(book, "huang")
    # Eleven kWh of three buyers before the marginal one meet eight of one seller: 1 + 1 + 1 off.
    assert found.bought_kwh == pytest.approx([0, 3, 5, 0])
    assert list(found.bid_unmet) == [Unmet.RATIONED] * 3 + [Unmet.REDUCED]
    assert (found.bid_price, found.ask_price) == (6.0, 2.0)
    assert found.surplus == pytest.approx(32)


def test_mcafee_by_count_and_by_volume_differ_where_sizes_do() -> None:
    book = Book(
        bids=Orders(price=np.array([10.0, 8, 7]), kwh=np.array([1.0, 5, 1])),
        asks=Orders(price=np.array([1.0, 2, 9]), kwh=np.array([1.0, 1, 1])),
    )
    by_count = clear_double_auction(book, "mcafee-paper")
    assert by_count.case == "all trade at p"
    assert by_count.bid_price == by_count.ask_price == 8.0
    by_volume = clear_double_auction(book, "mcafee")
    assert by_volume.case == "the last trade is left out"
    assert (by_volume.bid_price, by_volume.ask_price) == (8.0, 2.0)


BAD = (
    (
        {"price": [0.1, np.nan], "kwh": [1, 1]},
        NotFiniteError,
        r"Orders\.price .*not finite \(row 1\)",
    ),
    ({"price": [0.1, 0.2], "kwh": [1, 0]}, RangeError, r"Orders\.kwh must be above zero \(row 1\)"),
    ({"price": [-0.1], "kwh": [1]}, RangeError, r"Orders\.price is below zero \(row 0\)"),
    ({"price": [0.1], "kwh": [1, 2]}, ShapeError, r"Orders\.kwh has shape \(2,\)"),
    ({"price": [0.1], "kwh": [1], "minimum_kwh": 2}, RangeError, "first step"),
    ({"price": [0.1, 0.1], "kwh": [1, 1], "order": [0, 2]}, WrongStepsError, "without a gap"),
    ({"price": [0.1], "kwh": [1], "distance_km": -1}, RangeError, "distance_km is below zero"),
)


@pytest.mark.parametrize(("fields", "error", "words"), BAD)
def test_bad_orders_are_refused_by_name(
    fields: dict[str, object], error: type[BookError], words: str
) -> None:
    with pytest.raises(error, match=words):
        Orders(**fields)  # type: ignore[arg-type]


def test_a_book_refuses_what_its_sides_cannot_know() -> None:
    one = Orders(price=np.array([0.2]), kwh=np.ones(1))
    dear = Orders(price=np.array([0.2, 0.4]), kwh=np.ones(2))
    with pytest.raises(OutsideBandError, match=r"asks\.price lies outside .*\(row 1\)"):
        Book(bids=one, asks=dear, band=BAND)
    rising = Orders(price=np.array([0.2, 0.3]), kwh=np.ones(2), order=np.zeros(2, dtype=np.intp))
    with pytest.raises(WrongStepsError, match=r"bids: an order's prices rise .*\(row 1\)"):
        Book(bids=rising, asks=one)
    far = Orders(price=np.array([0.2]), kwh=np.ones(1), distance_km=200.0)
    with pytest.raises(RangeError, match="all is lost"):
        Book(bids=far, asks=one, network=Network(loss_per_km=0.01))
    with pytest.raises(RangeError, match=r"Network\.local_fee must be a number >= 0"):
        Network(local_fee=np.nan)
    with pytest.raises(RangeError, match="Band"):
        Band(feed_in=0.4, retail=0.3)


def test_mechanisms_refuse_orders_that_they_cannot_take() -> None:
    one = Orders(price=np.array([0.2]), kwh=np.ones(1))
    falling = Orders(price=np.array([0.3, 0.2]), kwh=np.ones(2), order=np.zeros(2, dtype=np.intp))
    least = Orders(price=np.array([0.2]), kwh=np.ones(1), minimum_kwh=1.0)
    sizes = Orders(price=np.array([0.2, 0.2]), kwh=np.array([1.0, 2.0]))
    for name, what in MECHANISMS.items():
        if not what.takes_steps:
            with pytest.raises(UnfitOrderError, match="one price an order"):
                clear_double_auction(Book(bids=falling, asks=one), name)
        if not what.takes_minima:
            with pytest.raises(UnfitOrderError, match="takes no minimum"):
                clear_double_auction(Book(bids=least, asks=one), name)
        if what.one_size:
            with pytest.raises(UnfitOrderError, match=r"one size .*\(row 1\)"):
                clear_double_auction(Book(bids=sizes, asks=one), name)
    with pytest.raises(ValueError, match="mechanism 'x' is none of uniform, "):
        clear_double_auction(Book(bids=one, asks=one), "x")


@pytest.mark.parametrize("name", MECHANISMS)
def test_an_empty_side_is_no_trade_with_a_reason(name: str) -> None:
    one, none = (
        Orders(price=np.array([0.2]), kwh=np.ones(1)),
        Orders(price=np.array([]), kwh=np.array([])),
    )
    for book in (Book(bids=one, asks=none), Book(bids=none, asks=one), Book(bids=none, asks=none)):
        found = clear_double_auction(book, name)
        assert len(found.trades.buyer) == 0
        assert np.isnan(found.bid_price)
        assert all(why == Unmet.OTHER_SIDE for why in (*found.bid_unmet, *found.ask_unmet))
