"""How a checker says that something does not hold."""

from __future__ import annotations


class CheckFailed(Exception):  # noqa: N818
    """Something that must hold does not: which checker saw it, and what."""

    def __init__(self, checker: str, what: str) -> None:
        super().__init__(f"{checker}: {what}")
        self.checker = checker


def require(holds: bool, checker: str, what: str) -> None:
    """Fail unless this holds."""
    if not holds:
        raise CheckFailed(checker, what)
