"""How a day's chain begins: site, ports, tariff, limits, wallets, coins and rounds.

Knows the messages and who sends them. Nothing here is special to a simulation but the keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from msgspec.structs import replace

from peerwatt.agents.signer import Signer
from peerwatt.agents.supplier import Supplier
from peerwatt.records.codec import decode
from peerwatt.records.market import FeederLimit, Mechanism, PriceRule
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.records.sealed import least_deposit_ucoin
from peerwatt.records.transactions import (
    WALLET_DOMAIN,
    FundRewards,
    Mint,
    OpenRound,
    OpenWallet,
    ProposeChange,
    PublishLimits,
    PublishTariff,
    RegisterPort,
    RegisterSite,
    SetRewards,
    Transaction,
    Vote,
)
from peerwatt.simulation.cast import ROOF, Visit, roof_power_w
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.consortium import Keyring
from peerwatt.simulation.day import HubDay
from peerwatt.simulation.pseudonyms import tokens_of
from peerwatt.simulation.timetable import (
    CLEAR_LEAD_S,
    GATE_LEAD_S,
    REVEAL_LEAD_S,
    SETTLE_LAG_S,
)
from peerwatt.units import S_PER_H, UCOIN_PER_COIN, WH_PER_KWH, cost_ceil_ucoin

SETUP_LEAD_S = 3_600
"""The chain begins an hour before the day."""
TARIFF = "day"
FLOAT_COINS = 1_000
"""What the supplier and the site's operator have beyond what the day can cost them at most."""


class Founding:
    """The first block's messages, each sent by the party whose right it is."""

    def __init__(
        self, config: DayConfig, day: HubDay, keys: Keyring, members: dict[str, Signer]
    ) -> None:
        self._config, self._day, self._keys = config, day, keys
        self._members = members
        self._until_s = day.start_s
        limits = np.full(len(day.slot_start_s), 1.0)
        self._supplier = Supplier(
            slot_start_s=day.slot_start_s,
            slot_s=day.slot_s,
            retail_usd_per_kwh=day.retail_usd_per_kwh,
            feed_in_usd_per_kwh=limits * day.feed_in_usd_per_kwh,
            import_limit_kwh=limits * day.grid_limit_kwh,
            export_limit_kwh=limits * day.export_limit_kwh,
        )

    def run(self, visits: Sequence[Visit]) -> None:
        """Send them all."""
        self._site(visits)
        supplier = self._members["supplier"]
        # Hubs on one chain share their supplier's tariff.
        if supplier.host.get("tariffs", TARIFF.encode()) is None:
            self._prices()
        for name in ("supplier", "aggregator"):
            self._mint(self._members[name].key.public, self._day_ucoin(), name)
        lost_load = round(self._day.lost_load_usd_per_kwh * UCOIN_PER_COIN)
        fresh = self._config.pseudonyms == "fresh"
        for visit in visits:
            if not fresh or visit.car is None:
                self._wallet(visit)
                need_ucoin = cost_ceil_ucoin(visit.need_wh, lost_load) + self._spare_ucoin(visit)
                if self._config.orders == "sealed":
                    need_ucoin += self._order_ucoin(self._day.port_kwh)
                self._mint(visit.signer.key.public, need_ucoin, visit.name)
        if fresh:
            self._fresh_wallets([visit for visit in visits if visit.car is not None])
        if self._config.rewards.fund:
            self._rewards()
        self._rounds()

    def _fresh_wallets(self, visits: Sequence[Visit]) -> None:
        """All cars' wallets, ascending by key, each with as many coins as any: the most that one
        order can hold. Neither order nor amounts tell whose they are."""
        authority = self._members["registration-authority"].key
        now_s = self._day.start_s - SETUP_LEAD_S
        tokens = tokens_of(visits, authority, self._keys, now_s)
        wallets = [wallet for visit in visits for wallet in visit.wallets]
        wallets.sort(key=lambda wallet: wallet.key.public)
        for wallet in wallets:
            token = tokens[wallet.key.public]
            _must(
                wallet.send(
                    OpenWallet,
                    valid_until_s=self._until_s,
                    authority=authority.public,
                    token=token,
                )
            )
        amount_ucoin = self._order_ucoin(max(self._day.port_kwh, self._day.discharge_kwh))
        for wallet in wallets:
            self._mint(wallet.key.public, amount_ucoin, wallet.key.public.hex())

    def _order_ucoin(self, kwh: float) -> int:
        """The most that an order for so much can hold."""
        usd = kwh * (self._config.lost_load + self._config.shortfall_penalty)
        held_ucoin = math.ceil(usd * UCOIN_PER_COIN)
        if self._config.orders == "open":
            return held_ucoin
        deposit_ucoin = least_deposit_ucoin(held_ucoin)
        if deposit_ucoin is None:
            raise ValueError("lost_load: no deposit of a sealed order covers it")
        return deposit_ucoin

    def _rewards(self) -> None:
        """The members vote for what the day's configuration says, and the operator gives coins."""
        config, operator = self._config.rewards, self._members["aggregator"]
        terms = SetRewards(
            epoch_s=config.epoch_h * S_PER_H,
            contribution_ucoin=round(config.contribution * UCOIN_PER_COIN),
            proposer_ucoin=round(config.proposer * UCOIN_PER_COIN),
        )
        proposal = operator.sign(ProposeChange, valid_until_s=self._until_s, change=terms)
        _must(operator.submit(proposal))
        proposal_id = decode(proposal, Transaction).message_id
        # More than two thirds of six; who comes after them would be too late.
        for name in ("grid-operator", "issuer", "regulator", "supplier"):
            member = self._members[name]
            _must(member.send(Vote, valid_until_s=self._until_s, proposal_id=proposal_id))
        amount_ucoin = round(config.fund * UCOIN_PER_COIN)
        self._mint(operator.key.public, amount_ucoin, "rewards")
        _must(operator.send(FundRewards, valid_until_s=self._until_s, amount_ucoin=amount_ucoin))

    def _day_ucoin(self) -> int:
        """What all of the day's energy is worth at the dearest price: no surplus that the supplier
        takes and no loss that the operator bears comes to more."""
        day = self._day
        energy_wh = int(day.buyers.need_wh.sum() + day.sellers.for_sale_wh.sum())
        energy_wh += round(float(day.pv_kwh.sum()) * WH_PER_KWH)
        dearest = round(day.lost_load_usd_per_kwh * UCOIN_PER_COIN)
        return FLOAT_COINS * UCOIN_PER_COIN + cost_ceil_ucoin(energy_wh, dearest)

    def _spare_ucoin(self, visit: Visit) -> int:
        """What a wallet has beyond its need: two rounds at once can hold what a port's failing to
        deliver could cost."""
        day = self._day
        kwh = max(day.port_kwh, day.discharge_kwh)
        if visit.name == ROOF:
            kwh = float(day.pv_kwh.max())
        return self._order_ucoin(2 * kwh)

    def _site(self, visits: Sequence[Visit]) -> None:
        limits = self._supplier.slot_limits()
        operator, grid = self._members["aggregator"], self._members["grid-operator"]
        config = self._config
        _must(
            operator.send(
                RegisterSite,
                cosigner=grid.key,
                valid_until_s=self._until_s,
                site=self._day.site,
                supplier=self._members["supplier"].key.public,
                grid_operator=grid.key.public,
                main_meter=self._keys.meter("").public,
                import_limit_w=max(limit.import_limit_w for limit in limits),
                export_limit_w=max(limit.export_limit_w for limit in limits),
                slot_s=self._day.slot_s,
                feeders=tuple(sorted(config.feeders)),
            )
        )
        charge_w, discharge_w = round(config.port_kw * 1000), round(config.sellers.power_kw * 1000)
        dealt = cycle(sorted(config.feeders) or ("",))
        for port in sorted({visit.port for visit in visits}):
            roof = port == ROOF
            _must(
                operator.send(
                    RegisterPort,
                    valid_until_s=self._until_s,
                    site=self._day.site,
                    port=port,
                    meter=self._keys.meter(port).public,
                    charge_limit_w=0 if roof else charge_w,
                    discharge_limit_w=max(roof_power_w(self._day)) if roof else discharge_w,
                    feeder=next(dealt),
                )
            )
        feeders = tuple(
            FeederLimit(
                feeder=name, import_limit_w=round(kw * 1000), export_limit_w=round(kw * 1000)
            )
            for name, kw in sorted(config.feeders.items())
        )
        limits = tuple(replace(limit, feeders=feeders) for limit in limits)
        _must(
            grid.send(
                PublishLimits, valid_until_s=self._until_s, site=self._day.site, limits=limits
            )
        )

    def _prices(self) -> None:
        config, fees = self._config, self._config.fees
        day_end_s = int(self._day.slot_start_s[-1]) + self._day.slot_s
        midpoint = config.price_rule == "midpoint"
        _must(
            self._members["supplier"].send(
                PublishTariff,
                cosigner=self._members["grid-operator"].key,
                valid_until_s=self._until_s,
                tariff=TARIFF,
                price_rule=PriceRule.MIDPOINT if midpoint else PriceRule.MARGINAL,
                steps=self._supplier.tariff_steps(),
                end_s=day_end_s,
                network_fee_ucoin_per_kwh=round(fees.network * UCOIN_PER_COIN),
                platform_fee_ucoin_per_kwh=round(fees.platform * UCOIN_PER_COIN),
                levy_ucoin_per_kwh=round(fees.levy * UCOIN_PER_COIN),
                lost_load_ucoin_per_kwh=round(config.lost_load * UCOIN_PER_COIN),
                shortfall_penalty_ucoin_per_kwh=round(config.shortfall_penalty * UCOIN_PER_COIN),
                failed_clearing_penalty_ucoin=round(
                    config.failed_clearing_penalty * UCOIN_PER_COIN
                ),
            )
        )

    def _wallet(self, visit: Visit) -> None:
        authority = self._members["registration-authority"].key
        wallet = visit.signer.key.public
        token = authority.sign(WALLET_DOMAIN, self._keys.chain_id, wallet)
        _must(
            visit.signer.send(
                OpenWallet, valid_until_s=self._until_s, authority=authority.public, token=token
            )
        )

    def _mint(self, to: bytes, amount_ucoin: int, label: str) -> None:
        _must(
            self._members["issuer"].send(
                Mint,
                cosigner=self._members["regulator"].key,
                valid_until_s=self._until_s,
                to=to,
                amount_ucoin=amount_ucoin,
                deposit_reference=self._keys.deposit(label),
            )
        )

    def _rounds(self) -> None:
        mechanism = Mechanism[self._config.mechanism.upper().replace("-", "_")]
        for start_s in map(int, self._day.slot_start_s):
            end_s = start_s + self._day.slot_s
            _must(
                self._members["aggregator"].send(
                    OpenRound,
                    valid_until_s=self._until_s,
                    site=self._day.site,
                    tariff=TARIFF,
                    mechanism=mechanism,
                    gate_s=start_s - GATE_LEAD_S,
                    clear_by_s=start_s - CLEAR_LEAD_S,
                    slot_start_s=start_s,
                    slot_end_s=end_s,
                    settle_by_s=end_s + SETTLE_LAG_S,
                    lot_wh=self._config.lot_wh if mechanism == Mechanism.SBBA else 0,
                    reveal_by_s=start_s - REVEAL_LEAD_S if self._config.orders == "sealed" else 0,
                )
            )


def _must(receipt: Receipt) -> None:
    """A day that cannot begin is a fault of its configuration."""
    if not receipt.ok:
        raise ValueError(f"{receipt.field}: the ledger refuses it ({Reason(receipt.reason).name})")
