"""A hub of any size on an embedded host: founded, funded, plugged in, and its messages signed.

Knows the messages and the host. Signing is never part of what is measured: whoever measures gets
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peerwatt.agents.signer import Signer
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.store import Store
from peerwatt.records.codec import digest, encode
from peerwatt.records.market import Award, Mechanism, PriceRule, Side, TariffStep, round_key
from peerwatt.records.members import Genesis, Member, Role
from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import (
    WALLET_DOMAIN,
    CheckIn,
    Mint,
    OpenRound,
    OpenWallet,
    PlaceBuyOrder,
    PlaceSellOrder,
    PublishTariff,
    RegisterPort,
    RegisterSite,
    ReportReadings,
)
from peerwatt.units import MAX_UCOIN, UCOIN_PER_COIN

CHAIN, SITE, TARIFF = "bench", "hub", "flat"
START_S = 1_566_345_600
END_S = START_S + 30 * 86_400
SLOT_S = 900
PORT_W = 22_000
GRID_W_PER_PORT = 2_000
COINS = 10_000
READINGS_PER_MESSAGE = 1_000
MESSAGES_PER_BLOCK = 10_000
ROLES = {
    "operator": Role.AGGREGATOR,
    "grid": Role.GRID_OPERATOR,
    "issuer": Role.ISSUER,
    "authority": Role.REGISTRATION_AUTHORITY,
    "regulator": Role.REGULATOR,
    "supplier": Role.SUPPLIER,
}


def key_of(label: str) -> SigningKey:
    """A key for nothing but this benchmark."""
    return SigningKey(digest(f"bench/{label}".encode()))


def genesis(max_orders: int, *, chain_id: str = CHAIN, tick_key: bytes = b"") -> bytes:
    """A chain, on block time unless a clock's key ticks, whose disputes stay open for longer than
    any benchmark runs."""
    members = [Member(key=key_of(n).public, name=n, roles=int(role)) for n, role in ROLES.items()]
    return encode(
        Genesis(
            chain_id=chain_id,
            tick_key=tick_key,
            start_s=START_S,
            rules_version=1,
            members=tuple(sorted(members, key=lambda member: member.key)),
            mint_epoch_s=86_400,
            mint_cap_ucoin=MAX_UCOIN,
            max_orders=max_orders,
            max_work=1_000_000,
            dispute_window_s=END_S - START_S,
        )
    )


def host_of(ledger: Ledger, folder: Path, name: str, first_state: bytes) -> EmbeddedHost:
    """A host on a new file of its own."""
    return EmbeddedHost(ledger, Store(folder / name), key_of("operator"), first_state)


class Hub:
    """One site with as many ports as it may have orders, and a funded wallet at each.

    Args:
        host: where it is founded.
        ports: how many.
        settle_s: how long after its slot's start a round waits for readings.
    """

    def __init__(self, host: EmbeddedHost, ports: int, *, settle_s: int = 2 * SLOT_S) -> None:
        self.host = host
        self._settle_s = settle_s
        self.members = {name: Signer(key_of(name), host) for name in ROLES}
        self.ports = [f"p{at:05d}" for at in range(ports)]
        self.wallets = [Signer(key_of(f"wallet/{port}"), host) for port in self.ports]
        self.meters = {port: key_of(f"meter/{port}") for port in ("", *self.ports)}
        self._registers_wh = dict.fromkeys(self.meters, 0)
        self._draw = np.random.default_rng(1)
        self._rounds = 0
        self._found()

    def _found(self) -> None:
        supplier, grid, operator = (self.members[n] for n in ("supplier", "grid", "operator"))
        step = TariffStep(
            from_s=START_S, retail_ucoin_per_kwh=250_000, feed_in_ucoin_per_kwh=50_000
        )
        tariff: dict[str, Any] = {
            "tariff": TARIFF,
            "price_rule": PriceRule.MIDPOINT,
            "steps": (step,),
            "end_s": END_S,
            "network_fee_ucoin_per_kwh": 10_000,
            "platform_fee_ucoin_per_kwh": 5_000,
            "levy_ucoin_per_kwh": 5_000,
            "lost_load_ucoin_per_kwh": 500_000,
            "shortfall_penalty_ucoin_per_kwh": 20_000,
            "failed_clearing_penalty_ucoin": 1_000_000,
        }
        site: dict[str, Any] = {
            "site": SITE,
            "supplier": supplier.key.public,
            "grid_operator": grid.key.public,
            "main_meter": self.meters[""].public,
            "slot_s": SLOT_S,
            "import_limit_w": GRID_W_PER_PORT * len(self.ports),
            "export_limit_w": GRID_W_PER_PORT * len(self.ports),
        }
        self._send(operator, RegisterSite, cosigner=grid.key, **site)
        self._send(supplier, PublishTariff, cosigner=grid.key, **tariff)
        for member in (supplier, operator):
            self._mint(member.key.public)
        for port, wallet in zip(self.ports, self.wallets, strict=True):
            self._plug_in(port, wallet)
        self.host.seal(START_S)

    def _plug_in(self, port: str, wallet: Signer) -> None:
        authority, public = self.members["authority"].key, wallet.key.public
        token = authority.sign(WALLET_DOMAIN, self.host.chain_id, public)
        at = {"site": SITE, "port": port}
        limits = {"charge_limit_w": PORT_W, "discharge_limit_w": PORT_W}
        operator = self.members["operator"]
        self._send(operator, RegisterPort, meter=self.meters[port].public, **at, **limits)
        self._send(wallet, OpenWallet, authority=authority.public, token=token)
        self._mint(public)
        self._send(operator, CheckIn, wallet=public, **at)

    def _mint(self, to: bytes) -> None:
        cosigner, amount_ucoin = self.members["regulator"].key, COINS * UCOIN_PER_COIN
        terms = {"to": to, "amount_ucoin": amount_ucoin, "deposit_reference": digest(to)}
        self._send(self.members["issuer"], Mint, cosigner=cosigner, **terms)

    def _send(self, signer: Signer, kind: Any, **fields: Any) -> None:
        receipt = signer.send(kind, valid_until_s=END_S, **fields)
        if not receipt.ok:
            raise RuntimeError(f"{kind.__name__}: {receipt}")
        if self.host.pending >= MESSAGES_PER_BLOCK:
            self.host.seal(self.host.block_time_s)

    def open_round(self) -> tuple[bytes, int]:
        """The next slot's round, open from the next block on: its id and its slot's start."""
        self._rounds += 1
        start_s = START_S + self._rounds * 4 * SLOT_S
        self._send(
            self.members["operator"],
            OpenRound,
            site=SITE,
            tariff=TARIFF,
            mechanism=Mechanism.WELFARE,
            gate_s=start_s - 60,
            clear_by_s=start_s - 30,
            slot_start_s=start_s,
            slot_end_s=start_s + SLOT_S,
            settle_by_s=start_s + self._settle_s,
        )
        self.host.seal(self.host.block_time_s)
        return round_key(SITE, start_s), start_s

    def sign_orders(self, round_id: bytes, count: int) -> list[bytes]:
        """An order at each of the first ports; a quarter of them offer energy."""
        draw, most_wh = self._draw, PORT_W * SLOT_S // 3600
        max_wh = draw.integers(most_wh // 4, most_wh, count).tolist()
        high = draw.integers(200_000, 500_000, count).tolist()
        low = draw.integers(50_000, 200_000, count).tolist()
        sells = (draw.random(count) < 0.25).tolist()
        signed = []
        for at in range(count):
            fields: dict[str, Any] = {"round_id": round_id, "port": self.ports[at]}
            fields |= {"valid_until_s": END_S, "max_wh": max_wh[at]}
            if sells[at]:
                terms = {"ask_ucoin_per_kwh": low[at], "slope_ucoin_per_kwh2": 10_000}
                signed.append(self.wallets[at].sign(PlaceSellOrder, **fields, **terms))
            else:
                terms = {"price_high_ucoin_per_kwh": high[at], "price_low_ucoin_per_kwh": low[at]}
                terms |= {"min_wh": max_wh[at] // 10}
                signed.append(self.wallets[at].sign(PlaceBuyOrder, **fields, **terms))
            self.wallets[at].nonce += 1
        return signed

    def sign_readings(
        self, round_id: bytes, start_s: int, awards: Sequence[Award]
    ) -> list[SignedReading]:
        """What the meters of all awards and the main meter counted, by port: one in twenty fell
        short by a tenth."""
        flows = {award.port: award for award in awards}
        met = (self._draw.random(len(flows)) >= 0.05).tolist()
        into_wh = {
            port: award.energy_wh * (10 if full else 9) // 10 * (award.side == Side.BUY or -1)
            for (port, award), full in zip(flows.items(), met, strict=True)
        }
        into_wh[""] = sum(into_wh.values())
        return [self._reading(port, start_s, wh) for port, wh in sorted(into_wh.items())]

    def _reading(self, port: str, start_s: int, into_wh: int) -> SignedReading:
        """One meter's; its registers simply rise by both directions of what has flowed."""
        before = self._registers_wh[port]
        self._registers_wh[port] = after = before + abs(into_wh)
        reading = MeterReading(
            meter=self.meters[port].public,
            sequence=start_s,
            start_s=start_s,
            end_s=start_s + SLOT_S,
            import_start_wh=before,
            import_end_wh=after if into_wh > 0 else before,
            export_start_wh=before,
            export_end_wh=after if into_wh < 0 else before,
        )
        return sign_reading(reading, self.meters[port], self.host.chain_id)

    def sign_reports(self, round_id: bytes, readings: Sequence[SignedReading]) -> list[bytes]:
        """The operator's messages that bring the readings in."""
        operator, signed = self.members["operator"], []
        for at in range(0, len(readings), READINGS_PER_MESSAGE):
            part = tuple(readings[at : at + READINGS_PER_MESSAGE])
            fields: dict[str, Any] = {"round_id": round_id, "readings": part}
            signed.append(operator.sign(ReportReadings, valid_until_s=END_S, **fields))
            operator.nonce += 1
        return signed


def submit_all(host: EmbeddedHost, transactions: Iterable[bytes]) -> None:
    """Submit every one; a benchmark in which one is refused measures nothing."""
    for transaction in transactions:
        receipt = host.submit(transaction)
        if receipt.reason:
            raise RuntimeError(f"refused: {receipt}")
