"""What every message starts with, whom it is from and until when it is valid.

Knows units and the codec.
"""

from __future__ import annotations

from peerwatt.records.codec import Record
from peerwatt.units import ChainId, Count, Key, TimeS


class Header(Record):
    """What every message starts with."""

    chain_id: ChainId
    signer: Key
    nonce: Count
    valid_until_s: TimeS
