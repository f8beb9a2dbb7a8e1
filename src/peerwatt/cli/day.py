"""`peerwatt day`: runs a day, shows it, writes it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from peerwatt.cli.screen import console, progress, show_day, show_region
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.region_config import load_sites
from peerwatt.simulation.region_run import RegionRun
from peerwatt.simulation.run import BUNDLED, DayRun, Place, sessions_of
from peerwatt.simulation.venue import OneProcess
from peerwatt.simulation.world import World


def run_day(
    config: DayConfig,
    sessions: Path | None,
    out: Path,
    network: Path | None,
    chain_id: str | None,
) -> None:
    """Raises ValueError, before anything is written, for a day that cannot be run or kept."""
    if network is not None and chain_id is not None:
        raise ValueError("--chain-id: the network's chain has its own")
    with RunFolder(out) as folder:
        source = BUNDLED if sessions is None else sessions.name
        run = DayRun(config, sessions_of(config, sessions), source)
        run.found(World, at=place_of(config, network, chain_id))
        with progress(f"{config.site} {config.date}") as step:
            run.live(step)
        run.write(folder)
    show_day(run.summary)
    _tell(out)


def run_hubs(
    config: DayConfig,
    sites: str,
    sessions: Path | None,
    out: Path,
    network: Path | None,
    chain_id: str | None,
) -> None:
    """A day at several hubs on one ledger. Raises ValueError as `run_day` does."""
    if network is not None:
        raise ValueError("--sites: a network's members are fixed and run one hub; leave --network")
    region = load_sites(sites)
    with RunFolder(out) as folder:
        run = RegionRun(
            config,
            region,
            sessions_of(config, sessions),
            source=BUNDLED if sessions is None else sessions.name,
            map_name=Path(sites).name,
            chain_id=chain_id,
        )
        with progress(f"{len(run.day.hubs)} hubs, {config.date}") as step:
            run.live(step)
        run.write(folder)
    show_region(run.summary)
    _tell(out)


def _tell(out: Path) -> None:
    told = f"\nReport: {out / 'report.html'}\nCheck it: peerwatt verify {out}"
    console.print(told, markup=False)


def place_of(config: DayConfig, network: Path | None, chain_id: str | None = None) -> Place:
    """Where a day is lived: on a running network, or in this process."""
    if network is None:
        return partial(OneProcess, config, chain_id=chain_id)
    from peerwatt.simulation.on_network import OnNetwork

    return partial(OnNetwork, network)
