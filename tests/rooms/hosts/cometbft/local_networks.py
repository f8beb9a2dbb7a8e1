"""Makes small networks for tests, on ports that are free."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from peerwatt.hosts.cometbft.localnet import PEERWATT, Network, create
from peerwatt.records.codec import encode
from peerwatt.records.members import Genesis, Member, Role
from peerwatt.records.signing import derive_key

CHAIN = "sim-net"
NAMES = ("north", "south", "east", "west")
CLOCK = derive_key(1, "clock", CHAIN)


def genesis(chain_id: str = CHAIN) -> bytes:
    key = derive_key(1, "north", CHAIN)
    member = Member(key=key.public, name="north", roles=int(Role.AGGREGATOR))
    return encode(
        Genesis(
            chain_id=chain_id,
            tick_key=CLOCK.public,
            start_s=0,
            rules_version=1,
            members=(member,),
            mint_epoch_s=86_400,
            mint_cap_ucoin=1,
            max_orders=10,
            max_work=10,
            dispute_window_s=0,
        )
    )


def free_base_port(number: int) -> int:
    """The first of so many ports in a row that nobody listens at, apart from other processes."""
    for base in range(28_000 + os.getpid() % 80 * 50, 32_700, number):
        try:
            for port in range(base, base + number):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")


def network(
    folder: Path, names: tuple[str, ...] = NAMES, *, app: str = PEERWATT, time_s: int = 0
) -> Network:
    """A network with room for two more nodes."""
    base_port = free_base_port(2 * (len(names) + 2))
    keys = {"clock": CLOCK}
    return create(
        folder, genesis(), names, keys, seed=1, time_s=time_s, app=app, base_port=base_port
    )
