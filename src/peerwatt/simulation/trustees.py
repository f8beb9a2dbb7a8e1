"""Whoever asks whose a wallet is, answers that, or has to do with rewards: by right and without.

Knows the messages. All chance comes from one seeded generator.
"""

from __future__ import annotations

from random import Random

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.simulation.parties import ANYONE, DRIVERS, ROLES, SLOT_S, Parties
from peerwatt.units import UCOIN_PER_COIN

EPOCHS_S = (60, 2 * SLOT_S, 3 * SLOT_S, 86_400)
REWARDS_UCOIN = (0, 1, 500_003, UCOIN_PER_COIN, 40 * UCOIN_PER_COIN)


class Trustees:
    """Those whom others trust with names and with coins."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance

    def act(self) -> bytes:
        """A request, a consent, coins for rewards, or other rewards to vote on."""
        disputes = [each for _, each in self._all.host.items("disputes")]
        open_ones = [each for each in disputes if not each.resolved]
        if open_ones or (disputes and self._chance.random() < 0.3):
            asked = any(len(each.openings) > 1 for each in open_ones)
            consents = self._chance.random() < (0.6 if asked else 0.2)
            return self._consent() if consents else self._request()
        return self._fund() if self._chance.random() < 0.6 else self._terms()

    def _request(self) -> bytes:
        """Mostly about an order of an open dispute's round, from somebody who may ask."""
        disputes = self._all.host.items("disputes")
        open_ones = [row for row in disputes if not row[1].resolved]
        order_id, dispute = self._chance.choice(open_ones or disputes)
        if self._chance.random() < 0.1:
            order_id = digest(b"no dispute")
        rows = self._all.host.items("settlements", dispute.round_id)
        orders = [
            order_id,
            *(key for key, _ in rows),
            *(key for key, _ in rows),
            digest(b"no order"),
        ]
        parties = [self._all.names[key] for key in (dispute.owner, dispute.operator)]
        by = self._chance.choice(("regulator", *parties, parties[1]))
        return self._all.sign(
            self._chance.choice(ANYONE[:-1]) if self._chance.random() < 0.15 else by,
            tx.RequestOpening,
            order_id=order_id,
            whose_order_id=self._chance.choice(orders),
            statement_hash=digest(b"why"),
        )

    def _consent(self) -> bytes:
        """Mostly to what was asked, by an authority; now and then by whoever asked."""
        disputes = self._all.host.items("disputes")
        asked = [
            (key, opening, each.resolved)
            for key, each in disputes
            for opening in each.openings
            if not opening.authority or self._chance.random() < 0.2
        ]
        order_id, wallet, by = self._chance.choice(disputes)[0], self._anybody(), "authority"
        if asked:
            order_id, opening, _ = self._chance.choice(asked)
            wallet = opening.wallet if self._chance.random() < 0.9 else wallet
            if self._chance.random() < 0.4:
                by = self._all.names[opening.requester]
        if self._chance.random() < 0.05:
            order_id = digest(b"no dispute")
        return self._all.sign(
            self._chance.choice(ANYONE[:-1]) if self._chance.random() < 0.1 else by,
            tx.ConsentOpening,
            order_id=order_id,
            wallet=wallet,
            commitment=digest(b"certificate"),
        )

    def _anybody(self) -> bytes:
        return self._all.key(self._chance.choice(DRIVERS)).public

    def _fund(self) -> bytes:
        by = self._chance.choice((*ROLES, "supplier", "ann"))
        free = self._all.free_ucoin(by)
        amounts = (0, 1, 30_000, UCOIN_PER_COIN // 4, UCOIN_PER_COIN // 4, free, free + 1)
        return self._all.sign(by, tx.FundRewards, amount_ucoin=self._chance.choice(amounts))

    def _terms(self) -> bytes:
        change = tx.SetRewards(
            epoch_s=self._chance.choice(EPOCHS_S),
            contribution_ucoin=self._chance.choice(REWARDS_UCOIN),
            proposer_ucoin=self._chance.choice(REWARDS_UCOIN[:2]),
        )
        by = self._chance.choice((*ROLES, "ann"))
        return self._all.sign(by, tx.ProposeChange, change=change)
