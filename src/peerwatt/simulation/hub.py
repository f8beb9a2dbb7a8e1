"""One hub among several: a world whose cars also speak with the three parts of its aggregator.

Knows the world, the aggregator and the cars' wallets. Requests and wallets in use stay at the hub;
what cars sold to one another is recorded on the ledger, and each car checks its history there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peerwatt.agents.trade import Heads, Sale, assembled, countersigned, written
from peerwatt.agents.vehicle import ChargingCar
from peerwatt.agents.wallet import Checked, Wallet
from peerwatt.aggregator.account_pool import AccountPool
from peerwatt.aggregator.memory_pool import MemoryPool
from peerwatt.aggregator.transaction_server import TradedPair, TransactionServer, traded_pairs
from peerwatt.records.codec import digest, encode
from peerwatt.records.market import Round, RoundStatus, SettledAward
from peerwatt.records.requests import EnergyRequest, WalletInUse, sign_said
from peerwatt.records.trades import TradeKind
from peerwatt.simulation.cast import ROOF, Visit
from peerwatt.simulation.timetable import ORDER_LEAD_S
from peerwatt.simulation.world import World

READERS = ("aggregator", "regulator")
"""The members that can open the body of a record: the hub's operator and the regulator."""


class Hub(World):
    """A world with an aggregator; it is founded and lives as any other."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        site, host = self.day.site, self.host
        self.accounts = AccountPool(site, host)
        self.server = TransactionServer(site, host, self.accounts)
        self.memory = MemoryPool(host)
        self._to_record: list[int] = []
        """Slots whose trades have no record yet."""
        self._signers = {
            wallet.key.public: wallet for visit in self.visits for wallet in visit.wallets
        }
        self._in_use: dict[str, bytes] = {}
        """The wallet that each car has shown here last, by the car's name."""
        self.wallets = {
            key: Wallet(key, host.chain_id, host.proposer or b"") for key in self._signers
        }

    def requests(self, slot: int) -> Sequence[tuple[int, int]]:
        """What the transaction server announces, after all who charge here have asked it."""
        now_s = int(self.day.slot_start_s[slot]) - ORDER_LEAD_S
        for visit in self.visits:
            if visit.present:
                self._ask(visit, now_s)
        return self.server.demand().due

    def _ask(self, visit: Visit, now_s: int) -> None:
        """A car shows its wallet as it comes, and asks anew for what it still needs."""
        key, chain_id, site = visit.signer.key, self.host.chain_id, self.day.site
        if self._in_use.get(visit.name) != key.public:
            self._forget(visit)
            self._in_use[visit.name] = key.public
            in_use = WalletInUse(chain_id=chain_id, wallet=key.public, site=site, at_s=now_s)
            self.accounts.use(in_use, sign_said(in_use, key))
        car = visit.agent
        if not isinstance(car, ChargingCar) or car.need_wh <= 0:
            self.server.done(key.public)
            return
        request = EnergyRequest(
            chain_id=chain_id,
            wallet=key.public,
            site=site,
            at_s=now_s,
            amount_wh=car.need_wh,
            from_s=visit.arrival_s,
            until_s=max(car.planned_departure_s, visit.arrival_s + 1),
        )
        self.server.request(request, sign_said(request, key))

    def leave(self, visit: Visit, now_s: int) -> None:
        """A car that checks out asks for nothing, and its wallet is no longer in use here."""
        super().leave(visit, now_s)
        self._forget(visit)

    def _forget(self, visit: Visit) -> None:
        """The wallet that a car has shown last, if it has shown one."""
        wallet = self._in_use.pop(visit.name, None)
        if wallet is not None:
            self.server.done(wallet)
            self.accounts.leave(wallet)

    def hear_deliveries(self, slot: int) -> None:
        """What was delivered, and soon what was traded."""
        super().hear_deliveries(slot)
        self._to_record.append(slot)

    def bring_readings(self, slot: int) -> None:
        """The readings; and by now headers prove the settlements of rounds before."""
        super().bring_readings(slot)
        self.record_trades()

    def record_trades(self) -> None:
        """Record what cars sold to one another in every round whose settlement is proved."""
        waiting, self._to_record = self._to_record, []
        for slot in waiting:
            round_id = self._round_id(slot)
            status = self.host.get("rounds", round_id).status
            if status == RoundStatus.SETTLED and self._is_proved(round_id):
                self._record(round_id)
            elif status != RoundStatus.VOID:
                self._to_record.append(slot)

    def _is_proved(self, round_id: bytes) -> bool:
        """Whether the head's header commits to the round as it stands."""
        stands: Round = self.host.get("rounds", round_id)
        return self.host.prove("rounds", round_id).value == encode(stands)

    def _record(self, round_id: bytes) -> None:
        """Each buyer, with the seller from which it had most."""
        rows = [row for _, row in self.host.items("settlements", round_id)]
        by_id: dict[bytes, SettledAward] = {row.order_id: row for row in rows}
        largest: dict[bytes, TradedPair] = {}
        for pair in traded_pairs(rows):
            known = largest.get(pair.order_id)
            if known is None or pair.energy_wh > known.energy_wh:
                largest[pair.order_id] = pair
        for pair in largest.values():
            bought, sold = by_id[pair.order_id], by_id[pair.sale_id]
            if bought.owner != sold.owner:
                self._record_sale(
                    Sale(
                        round_id=round_id,
                        market_round=self.host.get("rounds", round_id),
                        bought=bought,
                        sold=sold,
                        from_seller_wh=pair.energy_wh,
                    )
                )

    def _record_sale(self, sale: Sale) -> None:
        """The buyer writes, the seller checks the payment and signs, the buyer sends."""
        buyer, seller = (self._signers[row.owner] for row in (sale.bought, sale.sold))
        now_s = int(self.host.get("chain", b"chain").market_time_s)
        roof, secret = sale.sold.port == ROOF, sale.bought.order_id.hex()
        message = written(
            sale,
            Heads(
                buyer=self.wallets[buyer.key.public].record_head,
                seller=self.wallets[seller.key.public].record_head,
            ),
            chain_id=self.host.chain_id,
            nonce=buyer.nonce,
            now_s=now_s,
            valid_until_s=now_s + self.day.slot_s,
            kind=TradeKind.SITE if roof else TradeKind.CAR,
            tags=("pv" if roof else "v2v",),
            readers=[self.keys.key(name).public for name in READERS],
            # Reproducible, as all keys of a simulation are; elsewhere this has to be chance.
            entropy=self.keys.key(f"body/{secret}").seed + self.keys.key(f"once/{secret}").seed,
        )
        cosignature = countersigned(
            encode(message),
            seller.key,
            self.wallets[seller.key.public].record_head,
            purchase=self.host.receipt("settlements", sale.round_id, sale.bought.order_id),
            sale=self.host.receipt("settlements", sale.round_id, sale.sold.order_id),
            proposer=self.host.proposer or b"",
        )
        receipt = buyer.submit(assembled(message, buyer.key, cosignature))
        self.note("RecordTrade", receipt)
        if receipt.ok:
            for wallet in (buyer.key.public, seller.key.public):
                self.wallets[wallet].note(digest(encode(message)))

    def check_wallets(self) -> list[Checked]:
        """Every wallet asks the memory pool for its history, and checks it.

        Raises:
            HistoryRefused: one is not whole and true.
        """
        return [
            wallet.check(self.memory.history(key, wallet.height))
            for key, wallet in self.wallets.items()
        ]
