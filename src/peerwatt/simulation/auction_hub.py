"""A hub in a folder, for one auction among processes: what all know, and a file per driver.

Knows the founding messages and derives the members' keys from a seed, on a chain of its own that is
kept in memory. The operator's process reads `hub.bin` alone; drivers' files, with their keys and
what energy is worth to them, are for the processes of agents.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, TypeVar

from peerwatt.agents.auction_client import Driver, HubFacts
from peerwatt.agents.signer import Signer
from peerwatt.contracts import ledger
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.store import Store
from peerwatt.records.codec import CodecError, Record, decode, digest, encode
from peerwatt.records.market import Mechanism, PriceRule, TariffStep, round_key
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import (
    WALLET_DOMAIN,
    CheckIn,
    Mint,
    OpenRound,
    OpenWallet,
    PublishTariff,
    RegisterPort,
    RegisterSite,
    Tick,
    sign_message,
)
from peerwatt.simulation.consortium import CLOCK, ROLES, Keyring, genesis_of
from peerwatt.simulation.timetable import DISPUTE_WINDOW_S
from peerwatt.units import UCOIN_PER_COIN

SITE, TARIFF, CHAIN_ID = "hub", "day", "sim-auction"
START_S = 1_700_000_100
SLOT_S, GATE_LEAD_S, CLEAR_LEAD_S = 900, 240, 60
FIRST_SLOT_S = START_S + 1_800
PORT_W = 22_000
MOST_WH = PORT_W * SLOT_S // 3_600
RETAIL, FEED_IN, LOST_LOAD, PENALTY = 300_000, 50_000, 500_000, 20_000
"""ucoin/kWh."""
COINS_PER_DRIVER = 20
MAX_DRIVERS = 2_000
R = TypeVar("R", bound=Record)
HUB_FILE, DRIVERS = "hub.bin", "drivers"


class Plugged(Record):
    """A wallet at a port, and its signed message that opens it."""

    port: str
    wallet: bytes
    opening: bytes


class HubFile(Record):
    """What the operator's process reads."""

    facts: HubFacts
    seed: int
    import_limit_w: int
    plugged: tuple[Plugged, ...]


def create_hub(
    folder: Path, *, buyers: int, sellers: int, leave: float, leave_after: int, seed: int
) -> HubFile:
    """Write a hub whose cars will be so many buyers and sellers; a share of all, drawn by the seed
    like everything else, leaves in the middle.

    Raises:
        ValueError: the folder exists, or the numbers make no hub.
    """
    if folder.exists():
        raise ValueError(f"{folder}: exists already")
    if not 1 <= buyers + sellers <= MAX_DRIVERS:
        raise ValueError(f"buyers, sellers: must be 1 to {MAX_DRIVERS} together")
    if not 0 <= leave <= 1:
        raise ValueError(f"leave: must be from 0 to 1, is {leave}")
    keys, chance = Keyring(seed, CHAIN_ID), Random(seed)
    cars = buyers + sellers
    leavers = set(chance.sample(range(cars), round(leave * cars)))
    drivers = [
        _driver(at, at < buyers, chance, leave_after if at in leavers else None)
        for at in range(cars)
    ]
    facts = HubFacts(
        chain_id=CHAIN_ID,
        operator=keys.key("aggregator").public,
        round_id=round_key(SITE, FIRST_SLOT_S),
        slot_start_s=FIRST_SLOT_S,
        lost_load_ucoin_per_kwh=LOST_LOAD,
    )
    hub = HubFile(
        facts=facts,
        seed=seed,
        import_limit_w=PORT_W * max(buyers // 8, 1),
        plugged=tuple(_plugged(driver, keys) for driver in drivers),
    )
    (folder / DRIVERS).mkdir(parents=True)
    (folder / HUB_FILE).write_bytes(encode(hub))
    for driver in drivers:
        (folder / DRIVERS / f"{driver.name}.bin").write_bytes(encode(driver))
    return hub


def read_hub(folder: Path) -> HubFile:
    """What `create_hub` wrote for all.

    Raises:
        ValueError: it is not there, or damaged.
    """
    return _read(folder / HUB_FILE, HubFile)


def read_drivers(folder: Path, share: int, of: int) -> list[Driver]:
    """One share of the drivers' files, of so many; shares count from 1."""
    if not 1 <= share <= of:
        raise ValueError(f"share: must be from 1 to {of}, is {share}")
    paths = sorted((folder / DRIVERS).glob("*.bin"))
    return [_read(path, Driver) for path in paths[share - 1 :: of]]


def _read(path: Path, kind: type[R]) -> R:
    try:
        return decode(path.read_bytes(), kind)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except CodecError as error:
        raise ValueError(f"{path}: is damaged ({error})") from None


def _driver(at: int, buys: bool, chance: Random, leaves_after: int | None) -> Driver:
    """A car that has to buy for its trip, or has energy to spare; values and costs are its own."""
    capacity_wh = chance.choice((40_000, 60_000, 75_000))
    reserve_wh = capacity_wh // 10
    trip_wh = chance.randrange(6_000, 20_000)
    needs_wh = chance.randrange(1_500, 6_000)
    charge_wh = trip_wh + reserve_wh + (-needs_wh if buys else needs_wh)
    low = chance.randrange(120_000, 260_000)
    return Driver(
        name=f"car-{at:04}",
        port=f"p{at:04}",
        seed=digest(f"driver {at}/{chance.random()}".encode()),
        charge_wh=charge_wh,
        capacity_wh=max(capacity_wh, charge_wh),
        trip_wh=trip_wh,
        reserve_wh=reserve_wh,
        most_wh=MOST_WH,
        value_high_ucoin_per_kwh=min(low * chance.choice((12, 15, 20)) // 10, LOST_LOAD),
        value_low_ucoin_per_kwh=low,
        cost_ucoin_per_kwh=chance.randrange(80_000, 200_000),
        cost_slope_ucoin_per_kwh2=chance.choice((5_000, 10_000, 20_000)),
        leaves_after=leaves_after,
    )


def _plugged(driver: Driver, keys: Keyring) -> Plugged:
    """The registration authority has signed the wallet, and the driver opens it."""
    key, authority = SigningKey(driver.seed), keys.key("registration-authority")
    opening = OpenWallet(
        chain_id=CHAIN_ID,
        signer=key.public,
        nonce=0,
        valid_until_s=FIRST_SLOT_S,
        authority=authority.public,
        token=authority.sign(WALLET_DOMAIN, CHAIN_ID, key.public),
    )
    return Plugged(port=driver.port, wallet=key.public, opening=sign_message(opening, key))


class HubDesk:
    """The hub's ledger, in the operator's process; a `Desk`. Its round is open when it is made."""

    def __init__(self, hub: HubFile) -> None:
        keys = Keyring(hub.seed, CHAIN_ID)
        genesis = genesis_of(keys, START_S, DISPUTE_WINDOW_S)
        self.view = EmbeddedHost(ledger, Store(None), keys.key("aggregator"), genesis)
        self._clock = Signer(keys.key(CLOCK), self.view)
        self._members = {name: Signer(keys.key(name), self.view) for name in ROLES}
        self._now_s = START_S
        self.operator = keys.key("aggregator")
        self._found(hub, keys)

    def submit(self, transaction: bytes) -> Receipt:
        return self.view.submit(transaction)

    def say(self, kind: type[Any], **fields: Any) -> Receipt:
        return self._members["aggregator"].send(kind, valid_until_s=FIRST_SLOT_S, **fields)

    def seal(self, time_s: int | None = None) -> None:
        if time_s is not None and time_s > self._now_s:
            if self.view.pending:
                self.view.seal(self._now_s)  # a tick has to come first in its block
            self._now_s = time_s
            _must(self._clock.send(Tick, valid_until_s=time_s, time_s=time_s))
        self.view.seal(self._now_s)

    def _found(self, hub: HubFile, keys: Keyring) -> None:
        until: dict[str, Any] = {"valid_until_s": FIRST_SLOT_S}
        members, grid = self._members, keys.key("grid-operator")
        self.seal(START_S + 60)
        _must(
            members["aggregator"].send(
                RegisterSite,
                cosigner=grid,
                site=SITE,
                supplier=keys.key("supplier").public,
                grid_operator=grid.public,
                main_meter=keys.meter("").public,
                import_limit_w=hub.import_limit_w,
                export_limit_w=0,
                slot_s=SLOT_S,
                **until,
            )
        )
        _must(self._publish(grid))
        for name in ("supplier", "aggregator"):
            self._mint(keys.key(name).public, 100_000)
        for each in hub.plugged:
            port: dict[str, Any] = {"site": SITE, "port": each.port, **until}
            meter = keys.meter(each.port).public
            limits: dict[str, Any] = {"charge_limit_w": PORT_W, "discharge_limit_w": PORT_W}
            _must(members["aggregator"].send(RegisterPort, meter=meter, **limits, **port))
            _must(self.view.submit(each.opening))
            self._mint(each.wallet, COINS_PER_DRIVER)
            _must(members["aggregator"].send(CheckIn, wallet=each.wallet, **port))
        _must(
            members["aggregator"].send(
                OpenRound,
                site=SITE,
                tariff=TARIFF,
                mechanism=Mechanism.ITERATIVE_AUCTION,
                gate_s=FIRST_SLOT_S - GATE_LEAD_S,
                clear_by_s=FIRST_SLOT_S - CLEAR_LEAD_S,
                slot_start_s=FIRST_SLOT_S,
                slot_end_s=FIRST_SLOT_S + SLOT_S,
                settle_by_s=FIRST_SLOT_S + SLOT_S + 600,
                **until,
            )
        )
        self.seal()

    def _publish(self, grid: SigningKey) -> Receipt:
        step = TariffStep(
            from_s=START_S, retail_ucoin_per_kwh=RETAIL, feed_in_ucoin_per_kwh=FEED_IN
        )
        return self._members["supplier"].send(
            PublishTariff,
            cosigner=grid,
            valid_until_s=FIRST_SLOT_S,
            tariff=TARIFF,
            price_rule=PriceRule.MARGINAL,
            steps=(step,),
            end_s=FIRST_SLOT_S + SLOT_S,
            network_fee_ucoin_per_kwh=0,
            platform_fee_ucoin_per_kwh=0,
            levy_ucoin_per_kwh=0,
            lost_load_ucoin_per_kwh=LOST_LOAD,
            shortfall_penalty_ucoin_per_kwh=PENALTY,
            failed_clearing_penalty_ucoin=UCOIN_PER_COIN,
        )

    def _mint(self, to: bytes, coins: int) -> None:
        receipt = self._members["issuer"].send(
            Mint,
            cosigner=self._members["regulator"].key,
            valid_until_s=FIRST_SLOT_S,
            to=to,
            amount_ucoin=coins * UCOIN_PER_COIN,
            deposit_reference=digest(b"deposit/" + to),
        )
        _must(receipt)


def _must(receipt: Receipt) -> None:
    if not receipt.ok:
        raise ValueError(f"{receipt.field}: the ledger refuses it ({Reason(receipt.reason).name})")
