"""What tests of several rooms share: the sites' sessions, a small day and the demo's, run once.

Days that take long stand behind `--slow`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.attacks import AttackedWorld
from peerwatt.simulation.config import DayConfig, load
from peerwatt.simulation.day import hub_day
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.sessions import Session, bundled, load_sessions
from peerwatt.simulation.world import World


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
