"""What options let one choose among. Knows nothing else."""

from __future__ import annotations

from enum import StrEnum


class MechanismName(StrEnum):
    """How a round is cleared."""

    WELFARE = "welfare"
    UNIFORM = "uniform"
    WELFARE_PAIRS = "welfare-pairs"
    WELFARE_PROPOSED = "welfare-proposed"
    ITERATIVE_AUCTION = "iterative-auction"
    PAY_AS_BID = "pay-as-bid"
    K_PRICE = "k-price"
    MCAFEE = "mcafee"
    MCAFEE_PAPER = "mcafee-paper"
    HUANG = "huang"
    SBBA = "sbba"
    MUDA = "muda"
    V2V = "v2v"


class PeerName(StrEnum):
    """Whose answers a market's are compared with."""

    DUAL = "dual"


class SiteName(StrEnum):
    """Whose charging sessions come with peerwatt."""

    JPL = "jpl"
    CALTECH = "caltech"
