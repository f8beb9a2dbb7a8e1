"""What meters sign under attack: what they measured, or a lie.

Knows the readings' records. All chance comes from one seeded generator.
"""

from __future__ import annotations

from random import Random

from peerwatt.records.market import Award, Round, Side
from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.simulation.parties import SLOT_S, Parties

LIES = (
    *("repeated", "forged", "other slot", "longer slot", "less bought", "less sold"),
    *("bought backwards", "sold backwards"),
)


def measured(chance: Random, award: Award) -> int:
    """What a meter saw, towards the device: as awarded, less, nothing, or more."""
    short = (1, 0.5, 0) if award.side == Side.SELL else (1, 1, 1, 0.3, 0)
    share = chance.choice((*short, chance.choice((-0.2, 1.3))))
    energy_wh = int(award.energy_wh * share)
    return energy_wh if award.side == Side.BUY else -energy_wh


def reading(
    parties: Parties, chance: Random, market_round: Round, port: str, net_wh: int
) -> SignedReading:
    """What a meter signs of a slot; every fifth is a lie."""
    meter = parties.meter(market_round.site, port)
    last = parties.host.get("meter_progress", meter.public)
    sequence, bought, sold = (
        (last.sequence, last.import_wh, last.export_wh) if last is not None else (0, 0, 0)
    )
    lie = chance.choice(LIES) if chance.random() < 0.2 else ""
    shift_s = chance.choice((-SLOT_S, SLOT_S)) if lie == "other slot" else 0
    if lie == "less bought":
        bought = max(bought - 1, 0)
    if lie == "less sold":
        sold = max(sold - 1, 0)
    told = MeterReading(
        meter=meter.public,
        sequence=sequence + (lie != "repeated"),
        start_s=market_round.slot_start_s + shift_s,
        end_s=market_round.slot_end_s + shift_s + (lie == "longer slot"),
        import_start_wh=bought + (10_000 if lie == "bought backwards" else 0),
        import_end_wh=bought + max(net_wh, 0),
        export_start_wh=sold + (10_000 if lie == "sold backwards" else 0),
        export_end_wh=sold + max(-net_wh, 0),
    )
    signer = parties.key("stranger") if lie == "forged" else meter
    return sign_reading(told, signer, parties.chain_id)
