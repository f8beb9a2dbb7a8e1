"""What tests of several rooms share: the sites' sessions, a small day and the demo's, run once.

Days that take long stand behind `--slow`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.attacks import AttackedWorld
from peerwatt.simulation.config import DayConfig, Rewards, load
from peerwatt.simulation.day import hub_day
from peerwatt.simulation.region_config import RegionConfig
from peerwatt.simulation.region_run import RegionRun
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.sessions import Session, bundled, load_sessions
from peerwatt.simulation.world import World


def _hub(name: str, longitude: float, latitude: float, limit_kw: float, ports: int) -> Any:
    place = {"longitude": longitude, "latitude": latitude}
    return {"name": name, "place": place, "limit_kw": limit_kw, "ports": ports}


HUBS: dict[str, Any] = {
    "hubs": [
        _hub("west", -97.76, 30.26, 1, 2),
        _hub("mid", -97.75, 30.26, 1, 3),
        _hub("east", -97.74, 30.27, 1, 3),
    ],
    "cars_from": {"west": -97.76, "south": 30.26, "east": -97.74, "north": 30.27},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; run with --slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: run with --slow"))


@pytest.fixture(scope="session")
def jpl_sessions() -> tuple[Session, ...]:
    return load_sessions(bundled("jpl"), "jpl")


@pytest.fixture(scope="session")
def caltech_sessions() -> tuple[Session, ...]:
    return load_sessions(bundled("caltech"), "caltech")


@pytest.fixture(scope="session")
def small_config() -> DayConfig:
    """Behind so small a connection, with a small roof, that cars, roof and grid all matter."""
    return DayConfig.model_validate(
        {"site": "caltech", "date": "2019-06-12", "limit_kw": 7, "pv_kwp": 4}
    )


@pytest.fixture(scope="session")
def small_sessions(
    caltech_sessions: tuple[Session, ...], small_config: DayConfig
) -> tuple[Session, ...]:
    """Fourteen cars of a real day: nine buy, five sell."""
    day = hub_day(small_config, caltech_sessions)
    chosen = {*day.buyers.sessions[12:21], *day.sellers.sessions[:5]}
    return tuple(session for session in caltech_sessions if session in chosen)


@pytest.fixture(scope="session")
def small_run(small_config: DayConfig, small_sessions: tuple[Session, ...]) -> DayRun:
    """The small day with the demo's lies in it."""
    return _attacked(DayRun(small_config, small_sessions))


@pytest.fixture(scope="session")
def small_folder(small_run: DayRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small day's run folder; tests copy it before they change it."""
    return _written(small_run, tmp_path_factory.mktemp("small") / "day")


@pytest.fixture(scope="session")
def pairs_run(small_config: DayConfig, small_sessions: tuple[Session, ...]) -> DayRun:
    """The small day with rounds that the operator clears in pairs, and proves."""
    run = DayRun(small_config.model_copy(update={"mechanism": "welfare-pairs"}), small_sessions)
    run.found(World)
    run.live()
    return run


@pytest.fixture(scope="session")
def pairs_folder(pairs_run: DayRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That day's run folder."""
    return _written(pairs_run, tmp_path_factory.mktemp("pairs") / "day")


@pytest.fixture(scope="session")
def fresh_run(small_config: DayConfig, small_sessions: tuple[Session, ...]) -> DayRun:
    """The small day with a fresh wallet for every order, and rewards."""
    rewards = Rewards(fund=20, epoch_h=12, contribution=1, proposer=0.01)
    changes = {"pseudonyms": "fresh", "rewards": rewards}
    run = DayRun(small_config.model_copy(update=changes), small_sessions)
    run.found(World)
    run.live()
    return run


@pytest.fixture(scope="session")
def fresh_folder(fresh_run: DayRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That day's run folder."""
    return _written(fresh_run, tmp_path_factory.mktemp("fresh") / "day")


@pytest.fixture(scope="session")
def demo_run(jpl_sessions: tuple[Session, ...]) -> DayRun:
    """The demo's day with its lies."""
    return _attacked(DayRun(load(seed=1), jpl_sessions))


def _attacked(run: DayRun) -> DayRun:
    run.found(AttackedWorld).tempt()
    run.live()
    return run


def _written(run: DayRun, path: Path) -> Path:
    with RunFolder(path) as folder:
        run.write(folder)
    return path


@pytest.fixture(scope="session")
def hubs_config(small_config: DayConfig) -> DayConfig:
    """What three small hubs have in common."""
    return small_config.model_copy(update={"pv_kwp": 0.0, "mechanism": "welfare"})


@pytest.fixture(scope="session")
def hubs_run(hubs_config: DayConfig, small_sessions: tuple[Session, ...]) -> RegionRun:
    """Three hubs with so few ports that cars go on to the next one, and some are turned away."""
    run = RegionRun(hubs_config, RegionConfig.model_validate(HUBS), small_sessions, map_name="few")
    run.live()
    return run


@pytest.fixture(scope="session")
def hubs_folder(hubs_run: RegionRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their run folder; tests copy it before they change it."""
    path = tmp_path_factory.mktemp("hubs") / "day"
    with RunFolder(path) as folder:
        hubs_run.write(folder)
    return path
