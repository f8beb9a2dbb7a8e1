"""A day on which somebody cheats: each lie is offered to the host, and then put into a block.

Knows the world. Admission turns every one of them away; a dishonest proposer can still put them
into a block, where the contracts refuse them on record. (Nobody does where validators decide.)
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from peerwatt.agents.signer import Signer
from peerwatt.records.readings import sign_reading
from peerwatt.records.transactions import (
    WALLET_DOMAIN,
    CheckIn,
    OpenWallet,
    PlaceBuyOrder,
    RegisterPort,
    ReportReadings,
    parse,
)
from peerwatt.simulation.founding import SETUP_LEAD_S
from peerwatt.simulation.timetable import ORDER_LEAD_S, REPORT_LAG_S
from peerwatt.simulation.world import World
from peerwatt.units import S_PER_H, UCOIN_PER_COIN

PORT = "guest"
GUEST_W = 4_000
FORGED_WH = 1_000
NOON_H = 12


class AttackedWorld(World):
    """The same day with three lies in it: a replayed order and an order without the coins for it
    in the round of noon, a forged reading of the first seller that delivers after it."""

    _forged = False

    @property
    def _noon(self) -> int:
        """The slot that begins at noon."""
        return int(np.argmax(self.day.local_hour == NOON_H))

    def tempt(self) -> None:
        """Prepare the lies, before the day begins: a guest comes to a port of its own."""
        until_s = self.day.start_s
        self.tick(until_s - SETUP_LEAD_S)
        operator = self.members["aggregator"]
        self._guest = Signer(self.keys.wallet(PORT), self.host)
        authority, wallet = self.keys.key("registration-authority"), self._guest.key.public
        token = authority.sign(WALLET_DOMAIN, self.keys.chain_id, wallet)
        self._guest.send(OpenWallet, valid_until_s=until_s, authority=authority.public, token=token)
        operator.send(
            RegisterPort,
            valid_until_s=until_s,
            site=self.day.site,
            port=PORT,
            meter=self.keys.meter(PORT).public,
            charge_limit_w=GUEST_W,
            discharge_limit_w=0,
        )
        operator.send(CheckIn, valid_until_s=until_s, site=self.day.site, port=PORT, wallet=wallet)
        self.seal(until_s - SETUP_LEAD_S)

    def seal(self, time_s: int) -> None:
        """Lies go last into the block of their time, past admission."""
        since_noon_s = time_s - int(self.day.slot_start_s[self._noon])
        if since_noon_s == -ORDER_LEAD_S:
            self._offer(self._newest_order())
            self._offer(self._overdrawn_order(time_s))
        reported = self._reported_slot(time_s)
        if reported is not None and reported >= self._noon and not self._forged:
            self._forge(reported, time_s)
        super().seal(time_s)

    def _offer(self, transaction: bytes) -> bool:
        """To admission, which turns it away; then past admission into the block, if that can be
        done."""
        message = parse(transaction)[1]
        self.note(type(message).__name__, self.host.submit(transaction))
        return self.smuggle(transaction)

    def _newest_order(self) -> bytes:
        """The last buyer's order that stands in a block, to be sent once more."""
        for height in range(self.host.height, 0, -1):
            for data in self.host.block(height).transactions:
                if isinstance(parse(data)[1], PlaceBuyOrder):
                    return data
        raise RuntimeError("nobody has ordered before noon")

    def _overdrawn_order(self, now_s: int) -> bytes:
        """A wallet without a coin orders energy."""
        return self._guest.sign(
            PlaceBuyOrder,
            valid_until_s=now_s,
            round_id=self._round_id(self._noon),
            port=PORT,
            min_wh=0,
            max_wh=GUEST_W * self.day.slot_s // S_PER_H,
            price_high_ucoin_per_kwh=UCOIN_PER_COIN // 2,
            price_low_ucoin_per_kwh=UCOIN_PER_COIN // 4,
        )

    def _reported_slot(self, time_s: int) -> int | None:
        """The slot whose readings are reported in the block of this time."""
        elapsed_s = time_s - REPORT_LAG_S - self.day.start_s
        slot, rest_s = divmod(elapsed_s, self.day.slot_s)
        return slot - 1 if rest_s == 0 and slot - 1 in self.readings else None

    def _forge(self, slot: int, now_s: int) -> None:
        """The operator reports more of a seller's energy than its meter signed."""
        given = [
            signed.reading
            for port, signed in self.readings[slot].items()
            if port and signed.reading.exported_wh
        ]
        if not given:
            return
        self._forged = True
        operator = self.members["aggregator"]
        more = replace(given[0], export_end_wh=given[0].export_end_wh + FORGED_WH)
        forged = operator.sign(
            ReportReadings,
            valid_until_s=now_s,
            round_id=self._round_id(slot),
            readings=(sign_reading(more, operator.key, self.keys.chain_id),),
        )
        if self._offer(forged):
            # In a block even a refused message uses up its sender's nonce.
            operator.nonce += 1
