"""What is assumed of the consortium, its links and its machines.

Knows names, units and bounds. The paper gives none of these numbers but the minute.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from peerwatt.studies.study import Parameters

Fault = Literal["none", "slip", "lying-audit", "silent", "bad-block"]
FaultyMembers = Literal["one", "third", "most"]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Watts = Annotated[float, Field(ge=0, le=1e6)]


class Setting(Parameters):
    """A consortium of aggregators (LAGs)."""

    blocks: Annotated[int, Field(ge=1, le=1_000_000)] = 400
    """Blocks that each scheme makes at each point of the sweep."""
    members: Annotated[int, Field(ge=4, le=200)] = 10
    """LAGs."""
    fault: Fault = "none"
    """What is wrong: nothing, one audit that fails where it should not and is mended by a second
    look, LAGs that call a good block bad, LAGs that are silent, LAGs that lead with a bad block."""
    faulty: FaultyMembers = "one"
    """How many LAGs have the fault: one, the most below a third, or the fewest above half."""
    race_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Mean time of the race, to which difficulty is tuned: the paper's minute."""
    strongest: Annotated[float, Field(gt=0, le=1_000)] = 2.0
    """Hash rate of the first LAG; every other one's is 1."""
    latency_s: Seconds = 0.05
    """Least time of a message on its way."""
    jitter_s: Seconds = 0.02
    """Mean of the exponential time on top."""
    bytes_per_s: Annotated[float, Field(gt=0, le=1e12)] = 12.5e6
    """Of a link."""
    block_bytes: Annotated[int, Field(ge=1, le=10**9)] = 100_000
    """A block on its way."""
    result_bytes: Annotated[int, Field(ge=1, le=10**6)] = 160
    """A signed audit result or vote; a reply to the leader holds one of every LAG."""
    audit_s: Seconds = 0.2
    """Time that an audit of a block's records takes."""
    propose_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 3.0
    """How long votes wait for a proposal, and for one another once there could be enough."""
    give_up_s: Annotated[float, Field(gt=0, le=1e7)] = 3_600.0
    """When a block that is not decided counts as stuck."""
    mining_w: Watts = 200.0
    """Power of a LAG's machine while it races."""
    audit_w: Watts = 20.0
    """Power while it audits."""
    check_j: Annotated[float, Field(ge=0, le=1)] = 0.0012
    """Energy to check one signature: 60 microseconds at 20 W."""

    @property
    def faulty_members(self) -> int:
        """How many have the fault."""
        counts = {"one": 1, "third": (self.members - 1) // 3, "most": self.members // 2 + 1}
        return 0 if self.fault == "none" else counts[self.faulty]

    @property
    def hash_rates(self) -> NDArray[np.float64]:
        """(members,) relative."""
        rates = np.ones(self.members)
        rates[0] = self.strongest
        return rates
