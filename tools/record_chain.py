"""Records a small day on four real validators as test data, for tests/differential.

    PYTHONPATH=src .venv/bin/python tools/record_chain.py

Needs the engine (`peerwatt engine install`) and a minute. To be run again whenever the contracts
or the records change what blocks say; `expected.json` keeps what the day came to.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

from peerwatt.cli.consortium import founded
from peerwatt.hosts.cometbft import engine, localnet, running
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.on_network import OnNetwork
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.sessions import bundled, load_sessions
from peerwatt.simulation.world import World

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "differential" / "recorded_chain"
CHAIN_ID = "sim-recorded"
CONFIG = {
    **{"site": "caltech", "date": "2019-06-12", "limit_kw": 7, "pv_kwp": 4},
    **{"round_min": 60, "horizon_h": 24},
}
CARS = 12
BASE_PORT = 27_900
MAX_BYTES = 300_000


def main() -> None:
    """Live the day, keep its chain."""
    config = DayConfig.model_validate(CONFIG)
    sessions = load_sessions(bundled("caltech"), "caltech")
    cars = [each for each in sessions if each.local_date == config.date][-CARS:]
    with tempfile.TemporaryDirectory(prefix="peerwatt-record-") as temporary:
        names, genesis, keys = founded(config.sellers.seed, CHAIN_ID, 4, ticks=True)
        network = localnet.create(
            Path(temporary) / "net",
            genesis,
            names,
            keys,
            seed=config.sellers.seed,
            time_s=int(time.time()),
            base_port=BASE_PORT,
        )
        running.start(network, engine.find().program, network.nodes)
        try:
            run = DayRun(config, cars)
            run.found(World, at=partial(OnNetwork, network.folder))
            run.live()
            shutil.rmtree(FOLDER, ignore_errors=True)
            run.world.venue.export(FOLDER)
        finally:
            running.stop(network, network.nodes)
    expected = {name: run.summary[name] for name in ("energy_wh", "money_ucoin", "orders")}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{run.world.host.height} blocks, {size:,} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"{FOLDER}: more than {MAX_BYTES:,} bytes")


if __name__ == "__main__":
    main()
