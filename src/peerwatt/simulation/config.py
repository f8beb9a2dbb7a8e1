"""What a hub day assumes, as one checked file: every number that the data do not hold.

Knows names, units, bounds and the tariffs' names. Knows no sessions. A file says only what it
changes; the rest keeps its default. A key that is not known is refused.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from peerwatt.grid import tariffs

DEFAULT_LIMIT_KW = {"jpl": 72.0, "caltech": 36.0}


class ConfigError(ValueError):
    """A configuration that cannot be used: one line that names the key."""


def _ascending(band: tuple[float, float]) -> tuple[float, float]:
    if band[0] > band[1]:
        raise ValueError("must go from low to high")
    return band


def _sums_to_one(shares: dict[float, float]) -> dict[float, float]:
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"must have shares that sum to 1, have {sum(shares.values()):g}")
    return shares


Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
UsdPerKwh = Annotated[float, Field(ge=0, le=100)]
PowerKw = Annotated[float, Field(gt=0, le=1000)]
Band = AfterValidator(_ascending)
FeederName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,47}$")]


class ConfigPart(BaseModel):
    """What all parts of a configuration refuse: keys that are not known, NaN, yes for a number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_or_no(cls, value: Any) -> Any:
        """YAML reads `yes` and `on` as truth, which would pass for the number 1."""
        if isinstance(value, bool):
            raise ValueError("must not be yes or no")
        return value


class Planning(ConfigPart):
    departure: Literal["stated", "actual"] = "stated"
    """What a car's agent plans on: what its driver said, or the truth (an oracle)."""
    stay_factor: Annotated[float, Field(gt=0, le=2)] = 0.75
    """Share of the stated stay that the agent counts on; not used with `actual`."""
    arrivals: Literal["announced", "plugged"] = "announced"
    """Whether drivers announce themselves, so that a car orders for the slot in which it arrives,
    or order only once they are plugged in."""


class Eligible(ConfigPart):
    max_kwh: Annotated[float, Field(ge=0, le=200)] = 8.0
    """Most energy, kWh, that a seller's session took."""
    min_stay_h: Annotated[float, Field(ge=0, le=16)] = 4.0
    """Shortest stay, hours."""


class SellersConfig(ConfigPart):
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of the draws; each session draws from its own stream."""
    eligible: Eligible = Eligible()
    """Which sessions could sell."""
    share: Share = 0.5
    """Share of the eligible that do sell; their own need is waived."""
    battery_kwh: Annotated[
        dict[Annotated[float, Field(gt=0, le=1000)], Share],
        Field(min_length=1),
        AfterValidator(_sums_to_one),
    ] = {40.0: 0.3, 60.0: 0.4, 75.0: 0.3}
    """Battery size, kWh: share of the cars."""
    soc_when_full: Annotated[tuple[Share, Share], Band] = (0.85, 1.0)
    """Band of the state of charge at which the recorded session ended."""
    reserve_soc: Share = 0.40
    """State of charge that is never sold."""
    power_kw: PowerKw = 6.6
    """Most discharge power, kW."""
    round_trip: PositiveShare = 0.85
    """Efficiency of charging and discharging together."""
    refill_price: Annotated[tuple[UsdPerKwh, UsdPerKwh], Band] = (0.11, 0.15)
    """Band of the price of refilling at home, USD/kWh."""
    wear: Annotated[tuple[UsdPerKwh, UsdPerKwh], Band] = (0.03, 0.08)
    """Band of the battery's wear, USD per kWh sold."""
    l1: Annotated[float, Field(ge=0, le=100)] = 0.005
    """Rise of a seller's ask with what it sells in a round, USD/kWh^2."""


class Rule(ConfigPart):
    name: Literal["threshold"] = "threshold"
    """How buyers bid."""
    exponent: Annotated[float, Field(gt=0, le=64)] = 4.0
    """How late urgency and congestion raise a bid: higher is later."""
    arrivals_history_days: Annotated[int, Field(ge=0, le=400)] = 20
    """Past like days from which arrivals to come are expected."""


class Settlement(ConfigPart):
    grid: Literal["pass-through"] = "pass-through"
    """The grid's energy is sold on at retail."""
    v2v: Literal["midpoint", "marginal"] = "midpoint"
    """Price of the cars' energy: halfway from the seller's ask to the clearing price, or it."""


class Fees(ConfigPart):
    network: UsdPerKwh = 0.0
    """For the use of the wires, USD/kWh."""
    platform: UsdPerKwh = 0.0
    """For the market itself, USD/kWh."""
    levy: UsdPerKwh = 0.0
    """Tax, USD/kWh."""


class Rewards(ConfigPart):
    fund: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """What the site's operator gives to the reward account, USD; 0: nothing is rewarded."""
    epoch_h: Annotated[int, Field(ge=1, le=24 * 366)] = 24
    """How long an epoch is, hours, from the chain's beginning on, an hour before the day."""
    contribution: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """For the wallet that sold most at the hub in an epoch, by its meter, USD."""
    proposer: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """For the member that proposed a block, USD."""


LATER = ("pseudonyms", "rewards", "lot_wh", "orders")
"""Keys that stand in a day's file only where they change something: a chain is called after what is
assumed, and days from before these keys keep their names."""


MechanismName = Literal[
    "welfare", "uniform", "welfare-pairs", "welfare-proposed", "iterative-auction", "pay-as-bid",
    "k-price", "mcafee", "mcafee-paper", "huang", "sbba", "muda", "v2v",
]  # fmt: skip


class DayConfig(ConfigPart):
    """One hub day."""

    site: Literal["jpl", "caltech"] = "jpl"
    """Whose sessions; also sets the default limit."""
    date: datetime.date = datetime.date(2019, 8, 21)
    """Local date on which the cars arrive."""
    horizon_h: Annotated[int, Field(ge=24, le=36)] = 28
    """Hours of the local clock from midnight to the end."""
    round_min: Literal[5, 10, 15, 20, 30, 60] = 15
    """Length of a round, minutes."""
    mechanism: MechanismName = "welfare"
    """How a round is cleared."""
    lot_wh: Annotated[int, Field(gt=0, le=1_000_000)] = 500
    """The one size with which orders count under sbba, Wh."""
    need: Literal["delivered", "requested"] = "delivered"
    """What a car needs: what it truly took, or what its driver asked for, capped."""
    planning: Planning = Planning()
    """What agents plan on."""
    limit_kw: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default_factory=lambda known: DEFAULT_LIMIT_KW.get(known.get("site", ""))
    )
    """The connection's import limit, kW; null = none. Left out: 72 at jpl, 36 at caltech."""
    export_limit_kw: Annotated[float, Field(ge=0, le=100_000)] | None = None
    """The connection's export limit, kW; null = none."""
    feeders: dict[FeederName, Annotated[float, Field(gt=0, le=100_000)]] = {}
    """Most power of each feeder within the site, kW net either way, by its name; the ports are
    dealt out to them in turn. Needs mechanism welfare-proposed or welfare-pairs."""
    port_kw: PowerKw = 6.6
    """Most charging power of a plug, kW."""
    battery: Literal["ideal", "full"] = "ideal"
    """The cars' batteries: power and energy limits alone, or with taper, losses and pulsing."""
    wiring_loss: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of the energy lost between the main meter and the plugs."""
    tariff: Literal["sce-tou-ev-8-2019", "flat"] = "sce-tou-ev-8-2019"
    """What the supplier charges."""
    flat_price: UsdPerKwh = 0.20
    """The price of the flat tariff, USD/kWh."""
    feed_in: UsdPerKwh = 0.05
    """What the supplier pays for exports, USD/kWh."""
    lost_load: Annotated[float, Field(gt=0, le=100)] = 0.50
    """What a kWh costs that a car needs and does not get here, USD/kWh."""
    pv_kwp: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Rated power of the roof's panels, kWp."""
    fees: Fees = Fees()
    """On top of the energy's price."""
    shortfall_penalty: UsdPerKwh = 0.02
    """What a seller pays for each kWh it was awarded and did not deliver, USD/kWh, on top of what
    replacing it costs."""
    failed_clearing_penalty: Annotated[float, Field(ge=0, le=1_000_000)] = 1.0
    """What a member pays for proposing a clearing that proves nothing, USD."""
    sellers: SellersConfig = SellersConfig()
    """Cars that sell: assumed, as the data hold none."""
    rule: Rule = Rule()
    """How agents bid."""
    settlement: Settlement = Settlement()
    """Who pays what."""
    pseudonyms: Literal["session", "fresh"] = "session"
    """A car's wallets: one for its whole stay, or a fresh one for each order."""
    orders: Literal["open", "sealed"] = "open"
    """Whether orders can be read before the gate, or are sealed until then."""
    rewards: Rewards = Rewards()
    """For energy sold and for blocks, out of a fund."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = handler(self)
        for name in LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                said.pop(name, None)
        return said

    @model_validator(mode="after")
    def _prices_in_order(self) -> Self:
        cheapest = self.retail.cheapest_usd_per_kwh
        fees = self.fees.network + self.fees.platform + self.fees.levy
        if self.feed_in + fees >= cheapest:
            raise ValueError(
                f"feed_in: must with all fees be below the cheapest retail price, {cheapest:g}, or "
                "cars would buy from and sell to the grid at once"
            )
        if self.lost_load < self.retail.dearest_usd_per_kwh:
            raise ValueError(
                "lost_load: must be at least the dearest retail price, "
                f"{self.retail.dearest_usd_per_kwh:g}"
            )
        return self

    @model_validator(mode="after")
    def _feeders_can_be_cleared(self) -> Self:
        if self.feeders and self.mechanism not in ("welfare-proposed", "welfare-pairs"):
            raise ValueError("feeders: need mechanism welfare-proposed or welfare-pairs")
        return self

    @property
    def retail(self) -> tariffs.TimeOfUse:
        """The supplier's prices."""
        if self.tariff == "flat":
            return tariffs.flat(self.flat_price)
        return tariffs.SCHEDULES[self.tariff]

    @property
    def price_rule(self) -> Literal["midpoint", "marginal"]:
        return self.settlement.v2v


def load(
    path: Path | None = None,
    *,
    site: str | None = None,
    date: str | datetime.date | None = None,
    mechanism: str | None = None,
    seed: int | None = None,
) -> DayConfig:
    """The configuration in a YAML file, or the default; what is given beside it wins.

    Raises ConfigError with one line that names the file and the first wrong key.
    """
    given = {} if path is None else read_yaml(path, "'site: jpl'")
    where = "" if path is None else f"{path}: "
    for key, value in (("site", site), ("date", date), ("mechanism", mechanism)):
        if value is not None:
            given[key] = value
    if seed is not None and isinstance(given.setdefault("sellers", {}), dict):
        given["sellers"] = given["sellers"] | {"seed": seed}
    try:
        return DayConfig.model_validate(given)
    except ValidationError as error:
        raise ConfigError(where + one_line(error, DayConfig)) from None


def schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file."""
    return DayConfig.model_json_schema()


class _Loader(yaml.SafeLoader):
    """YAML in which a key appears once: by its own rules the last of two would win unseen."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """PyYAML lets through what its parts raise where a tag does not fit its value."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError):
            why = f"cannot be read as {node.tag!r}"
            raise yaml.constructor.ConstructorError(None, None, why, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # A tag can call a list or a word a mapping; the base class refuses that.
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        keys = [key.value for key, _ in pairs]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"key {twice!r} appears twice")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """The keys and values of a file, such as the example; ConfigError names the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    given = parse_yaml(text, str(path))
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: must hold keys and values, such as {example}")
    return given


def parse_yaml(text: str, where: str) -> Any:
    """A text's value; ConfigError begins with `where` it stands."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{where}: not valid YAML: nested too deeply") from None


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong, and how many more there are; `model` is what was asked for."""
    found = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
    first = found[0]
    if first["type"] == "missing":
        # A key that is not known may be the missing one, misspelt.
        first = next((e for e in found if e["type"] == "extra_forbidden"), first)
    keys = [str(part) for part in first["loc"] if part != "[key]"]
    if first["type"] == "extra_forbidden":
        message = "unknown key" + _suggestion(keys, model)
    else:
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "model_type":
            message = "must hold keys and values"
        for was, becomes in (
            ("Input should be", "must be"),
            ("Field required", "must be given"),
            ("Tuple should", "must"),
            ("Dictionary should", "must"),
            ("List should", "must"),
        ):
            message = message.replace(was, becomes)
        if isinstance(first["input"], str | int | float):
            message += f", is {first['input']!r}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return ": ".join(filter(None, [".".join(keys), message])) + more


def _suggestion(keys: list[str], top: type[BaseModel]) -> str:
    """None for a key within a mapping whose keys are free."""
    model: Any = top
    for key in keys[:-1]:
        if not key.isdigit():
            field = getattr(model, "model_fields", {}).get(key)
            if field is None:
                return ""
            model = field.annotation
        model = next((part for part in get_args(model) if hasattr(part, "model_fields")), model)
    return suggestion(keys[-1], list(getattr(model, "model_fields", {})))


def suggestion(word: str, known: Sequence[str]) -> str:
    """The known word that is nearest, as the end of a refusal; nothing where none is near."""
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
