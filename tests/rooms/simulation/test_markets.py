"""The soak of small markets: what it clears, and that it notices what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from peerwatt.cli.main import app
from peerwatt.mechanisms.welfare_book import InfeasibleError
from peerwatt.simulation import markets
from peerwatt.simulation.market_duals import least_dual
from peerwatt.simulation.markets import Market, OnePriceMarket, PairsMarket, PricePair, check, draw

ONCE_WRONG = {
    25_141: "buyers just outside the market were taken for rounding",
    49_549: "a buyer whom only sellers without energy reach crept towards them",
    135_059: "slow progress, where nobody can take anything, was taken for none",
    2_034_239: "the grid's room is filled at a price at which nobody buys any more",
    2_576_574: "the grid's room is what the minima need to the last digit, and nobody sells",
    436_949: "slow progress near the optimum was taken for rounding",
    549_587: "buyers with sellers of their own took turns at falling prices",
    704_537: "nobody may trade, and rounding traded a millionth of a millionth",
    899_525: "a path was left before the place on it where the slope is gone",
    495_723: "at the price of lost load, pairs differ by less than a float of it tells",
    703_931: "likewise, where a seller's cost is flat",
    965_165: "likewise, where what is bought is wrong by the last digits of a price",
    38_124: "sellers fill the grid's room exactly, and no curve moves in between",
}


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_what_once_went_wrong(seed: int) -> None:
    assert check(seed).problem == ""


def test_markets_are_proved_or_rightly_refused() -> None:
    found = [check(seed) for seed in range(400)]
    assert [each.problem for each in found if each.problem] == []
    for kind in ("pairs", "one_price"):
        refused = [each.infeasible for each in found if each.kind == kind]
        assert 1 < sum(refused) < 60


def test_both_kinds_agree_with_their_duals() -> None:
    found = [check(seed, least_dual) for seed in range(40)]
    assert [each.problem for each in found if each.problem] == []


def test_a_dual_that_was_left_too_early_goes_on_from_our_prices() -> None:
    started = []

    def hasty(market: Market, start: PricePair | None) -> float:
        started.append(start is not None)
        return least_dual(market, start) + (0.0 if start else 1.0)

    assert check(first(PairsMarket), hasty).problem == ""
    assert started == [False, True]


def test_a_dual_below_ours_is_never_begun_again() -> None:
    started = []

    def low(market: Market, start: PricePair | None) -> float:
        started.append(start is not None)
        return least_dual(market, start) - 1.0

    assert "objective differs" in check(first(PairsMarket), low).problem
    assert started == [False]


def test_draws_are_of_every_kind() -> None:
    drawn = [draw(seed) for seed in range(400)]
    pairs = [each for each in drawn if isinstance(each, PairsMarket)]
    assert len(pairs) == 200
    assert 10 < sum(each.pair_efficiency is not None for each in pairs) < 40
    assert 50 < sum(each.grid is None for each in pairs) < 120
    for kind in (PairsMarket, OnePriceMarket):
        books = [each for each in drawn if isinstance(each, kind)]
        assert any(len(each.buyers.maximum_kwh) == 0 for each in books)
        assert any(len(each.sellers.maximum_kwh) == 0 for each in books)
        assert any(each.lost_load is None for each in books)
        assert any(each.lost_load is not None for each in books)


def first(kind: type, *, infeasible: bool = False) -> int:
    """A seed of such a market."""
    return next(
        seed
        for seed in range(1000)
        if isinstance(draw(seed), kind) and check(seed).infeasible is infeasible
    )


@pytest.mark.parametrize("kind", [PairsMarket, OnePriceMarket])
def test_another_objective_is_noticed(kind: type) -> None:
    def off(market: Market, start: PricePair | None) -> float:
        return least_dual(market, start) + 1e-3

    assert "objective differs" in check(first(kind), off).problem


@pytest.mark.parametrize("kind", [PairsMarket, OnePriceMarket])
def test_a_refusal_without_proof_is_noticed(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(market: Market) -> None:
        weights = np.ones(len(market.buyers.maximum_kwh))
        raise InfeasibleError(weights, needed_kwh=2.0, available_kwh=1.0)

    seed = first(kind)
    monkeypatch.setattr(kind, "clear", refuse)
    found = check(seed)
    assert found.infeasible
    assert "refused without reason" in found.problem
    monkeypatch.undo()
    assert check(first(kind, infeasible=True)).problem == ""


def test_a_wide_gap_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markets, "MOST_GAP", -1.0)
    assert "certified relative gap" in check(1).problem


def test_the_command_tells_what_it_saw() -> None:
    answer = CliRunner().invoke(app, ["soak", "markets", "--count", "6", "--against", "dual"])
    assert answer.exit_code == 0
    assert "6 proved, 0 refused" in " ".join(answer.output.split())
    assert "of the dual's" in " ".join(answer.output.split())


def test_the_command_names_what_replays_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markets, "MOST_GAP", -1.0)
    answer = CliRunner().invoke(app, ["soak", "markets", "--count", "2", "--seed", "8"])
    assert answer.exit_code == 1
    assert "peerwatt soak markets --count 1 --seed 8\n" in answer.output
    assert "2 failed" in answer.output
