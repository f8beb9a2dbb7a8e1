"""The parties of a ledger under attack: their keys, how they sign, and how their chain begins.

Knows the messages and, as anybody does, the state after the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from peerwatt.hosts.host import View
from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.market import PriceRule, TariffStep
from peerwatt.records.members import Account, Genesis, Member, Role
from peerwatt.records.signing import SigningKey
from peerwatt.units import UCOIN_PER_COIN

START_S = 1_700_000_100
SLOT_S = 900
GATE_LEAD_S, CLEAR_LEAD_S, SETTLE_LAG_S, WINDOW_S = 60, 30, 600, 1_800
YEAR_S = 366 * 86_400
SITES = {"north": "operator-north", "south": "operator-south"}
PORTS = ("p1", "p2", "p3", "p4", "p5", "p6")
DRIVERS = ("ann", "bob", "cat", "dan", "eve", "fay", "gus")
ROLES = {
    "operator-north": Role.AGGREGATOR,
    "operator-south": Role.AGGREGATOR | Role.REGISTRATION_AUTHORITY,
    "grid": Role.GRID_OPERATOR,
    "regulator": Role.REGULATOR,
    "authority": Role.REGISTRATION_AUTHORITY,
    "supplier": Role.SUPPLIER,
    "issuer": Role.ISSUER,
    "other-grid": Role.GRID_OPERATOR,
}
CLOCK = "clock"
NEWCOMERS = ("newcomer", "observer")
ANYONE = (*DRIVERS, *ROLES, "stranger")
PROPOSE_LEAD_S = 630
FINE_UCOIN = 1_000_003
FEEDERS = ("east-row", "west-row")
RETAIL, LOST_LOAD = 300_007, 500_003
CHARGE_W, DISCHARGE_W = 11_000, 10_000
ON_BLOCK_TIME = 6
"""One chain in so many runs on the time of its blocks, the others on ticks."""


class Parties:
    """Everybody with a key, on one chain; `host` is whichever process runs it now."""

    def __init__(self, seed: int, chance: Random) -> None:
        self.ticks = seed % ON_BLOCK_TIME != 2
        self.chain_id = f"sim-faults-{seed}" if self.ticks else f"faults-{seed}"
        self._seed = seed
        self._chance = chance
        self._known = {name: self._derived(name) for name in (*ANYONE, *NEWCOMERS, CLOCK)}
        self._meters: dict[str, SigningKey] = {}
        self.names = {key.public: name for name, key in self._known.items()}
        self._ahead: dict[bytes, int] = {}
        self._deposits = 0
        self.clock_s = START_S
        self.host: View

    def _derived(self, label: str) -> SigningKey:
        return SigningKey(digest(f"faults/{self._seed}/{label}".encode()))

    def key(self, name: str) -> SigningKey:
        """The key of a party or wallet."""
        return self._known[name]

    def genesis(self) -> bytes:
        """Where this chain starts; small bounds, so that they are met."""
        members = [
            Member(
                key=self.key(name).public,
                name=name,
                roles=int(role),
                validator=self.key(CLOCK).public if name == "grid" else b"",
            )
            for name, role in ROLES.items()
        ]
        return encode(
            Genesis(
                chain_id=self.chain_id,
                tick_key=self.key(CLOCK).public if self.ticks else b"",
                start_s=START_S,
                rules_version=1,
                members=tuple(sorted(members, key=lambda member: member.key)),
                mint_epoch_s=3_600,
                mint_cap_ucoin=10_000 * UCOIN_PER_COIN,
                max_orders=self._chance.choice((3, 8, 12)),
                max_work=self._chance.choice((1, 4, 1_000)),
                dispute_window_s=WINDOW_S,
            )
        )

    def sign(self, by: str, kind: type[Any], cosigner: str = "", **fields: Any) -> bytes:
        """A transaction with the signer's next nonce, as far as it can know it."""
        signer = self.key(by).public
        ahead = self._ahead.get(signer, 0)
        account = self.host.get("accounts", signer) or Account()
        usual = {
            "chain_id": self.chain_id,
            "signer": signer,
            "nonce": account.nonce + ahead,
            "valid_until_s": self.now_s + 7_200,
        }
        message = kind(**(usual | fields))
        return tx.sign_message(message, self.key(by), self.key(cosigner) if cosigner else None)

    def let_in(self, transaction: bytes) -> None:
        """The host has let a transaction in: its signer's next one has the next nonce."""
        signer = tx.parse(transaction)[1].signer
        self._ahead[signer] = self._ahead.get(signer, 0) + 1

    def forget(self) -> None:
        """Nothing waits any more: a signer's next nonce is the one that stands in the state."""
        self._ahead.clear()

    @property
    def now_s(self) -> int:
        """The market time after the head."""
        now_s: int = self.host.get("chain", b"chain").market_time_s
        return now_s

    def free_ucoin(self, name: str) -> int:
        """What somebody can spend."""
        account = self.host.get("accounts", self.key(name).public) or Account()
        return int(account.free_ucoin)

    def tick(self, step_s: int) -> bytes | None:
        """The clock moves on; the message that says so, on a chain of ticks."""
        self.clock_s = max(self.clock_s, self.now_s) + step_s
        if not self.ticks:
            return None
        time_s = self.now_s + step_s
        return self.sign(CLOCK, tx.Tick, time_s=time_s, valid_until_s=time_s)

    # --- the beginning

    def founding(self) -> Iterator[bytes]:
        """Both sites with their ports, the tariff, most of the wallets, coins and rewards."""
        yield self.tariff("day")
        yield self.tariff("night")
        for site, operator in SITES.items():
            yield self.site(site, operator)
            for port in PORTS:
                yield self.port(site, port, operator)
        for name in (*DRIVERS[:6], *DRIVERS[:6], *DRIVERS[:6]):  # some tokens are wrong
            yield self.wallet(name)
        for name in (*ROLES, *DRIVERS[:5]):
            yield self.mint(name, self._chance.choice((2, 50, 300)))
        yield from self._rewards()

    def _rewards(self) -> Iterator[bytes]:
        """Rewards that enough members vote for, and somebody pays."""
        terms = tx.SetRewards(
            epoch_s=3 * SLOT_S, contribution_ucoin=UCOIN_PER_COIN // 7, proposer_ucoin=11
        )
        proposed = self.sign("regulator", tx.ProposeChange, change=terms)
        yield proposed
        proposal_id = decode(proposed, tx.Transaction).message_id
        for name in ROLES:
            if name != "regulator":
                yield self.sign(name, tx.Vote, proposal_id=proposal_id)
        yield self.sign("issuer", tx.FundRewards, amount_ucoin=UCOIN_PER_COIN // 5)

    def site(self, site: str, operator: str, cosigner: str = "grid", **changed: Any) -> bytes:
        """A hub, behind a connection that may be small."""
        fields: dict[str, Any] = {
            "site": site,
            "supplier": self.key("supplier").public,
            "grid_operator": self.key("grid").public,
            "main_meter": self.meter(site, "").public,
            "import_limit_w": self._chance.choice((2_000, 6_000, 40_000)),
            "export_limit_w": self._chance.choice((0, 3_000, 20_000)),
            "slot_s": SLOT_S,
            "feeders": FEEDERS,
        }
        return self.sign(operator, tx.RegisterSite, cosigner, **(fields | changed))

    def port(self, site: str, port: str, operator: str, **changed: Any) -> bytes:
        """A charger, with the key of its meter."""
        fields: dict[str, Any] = {
            "site": site,
            "port": port,
            "meter": self.meter(site, port).public,
            "charge_limit_w": CHARGE_W,
            "discharge_limit_w": DISCHARGE_W,
            "feeder": self._chance.choice(("", *FEEDERS)),
        }
        return self.sign(operator, tx.RegisterPort, **(fields | changed))

    def meter(self, site: str, port: str) -> SigningKey:
        """The meter at a port; the empty port is the site's main meter."""
        name = f"meter/{site}/{port}"
        if name not in self._meters:
            self._meters[name] = self._derived(name)
        return self._meters[name]

    def tariff(
        self, name: str, by: str = "supplier", cosigner: str = "grid", **changed: Any
    ) -> bytes:
        """A supplier's prices: all day the same, or cheaper after some slots."""
        steps = [self.step(START_S, RETAIL)]
        if name != "day":
            times = range(START_S + 60, START_S + 90 * SLOT_S, 3 * SLOT_S)
            steps += [
                self.step(time_s, 200_000 + 1_000 * (at % 2)) for at, time_s in enumerate(times)
            ]
        fields: dict[str, Any] = {
            "tariff": name,
            "price_rule": self._chance.choice(tuple(PriceRule)),
            "steps": tuple(steps),
            "end_s": START_S + YEAR_S,
            "network_fee_ucoin_per_kwh": 10_001,
            "platform_fee_ucoin_per_kwh": 5_003,
            "levy_ucoin_per_kwh": 4_999,
            "lost_load_ucoin_per_kwh": LOST_LOAD,
            "shortfall_penalty_ucoin_per_kwh": 50_001,
            "failed_clearing_penalty_ucoin": FINE_UCOIN,
        }
        return self.sign(by, tx.PublishTariff, cosigner, **(fields | changed))

    def step(self, from_s: int, retail: int) -> TariffStep:
        """Prices from a time on."""
        feed_in = self._chance.choice((70_007, 80_000))
        return TariffStep(from_s=from_s, retail_ucoin_per_kwh=retail, feed_in_ucoin_per_kwh=feed_in)

    def wallet(self, name: str) -> bytes:
        """A driver's key becomes a wallet."""
        authority = self.key("authority" if self._chance.random() < 0.8 else "regulator")
        whose = name if self._chance.random() < 0.85 else "stranger"
        token = authority.sign(tx.WALLET_DOMAIN, self.chain_id, self.key(whose).public)
        return self.sign(name, tx.OpenWallet, authority=authority.public, token=token)

    def mint(self, to: str, coins: int, cosigner: str = "regulator", by: str = "issuer") -> bytes:
        """Coins for an account; now and then against a deposit that was used before."""
        self._deposits += self._chance.random() < 0.9
        return self.sign(
            by,
            tx.Mint,
            cosigner=cosigner,
            to=self.key(to).public,
            amount_ucoin=coins * UCOIN_PER_COIN,
            deposit_reference=digest(f"deposit {self._deposits}".encode()),
        )
