"""The account pool: which wallets are in use at this hub, each with the index of its account.

Knows the ledger's accounts as a reader. Who a wallet's owner is, it does not know: an index says
only that two messages came from one account, and is free again when the wallet leaves.
"""

from __future__ import annotations

from peerwatt.hosts.host import View
from peerwatt.records.requests import WalletInUse, is_said

MOST_WALLETS = 10_000


class PoolRefused(ValueError):  # noqa: N818
    """What an aggregator does not take in: one line that names the field and the reason."""


class AccountPool:
    """Wallet address to account index, for the wallets in use at one hub.

    Args:
        site: the hub's name on the ledger.
        view: the ledger.
    """

    def __init__(self, site: str, view: View) -> None:
        self._site, self._view = site, view
        self._index: dict[bytes, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._index)

    def use(self, said: WalletInUse, signature: bytes) -> int:
        """Take a wallet in; the index of its account, the same one if it is in already.

        Raises:
            PoolRefused: it was not said here, by its owner, or the ledger knows no such wallet.
        """
        if said.chain_id != self._view.chain_id:
            raise PoolRefused(f"chain_id: this hub is on '{self._view.chain_id}'")
        if said.site != self._site:
            raise PoolRefused(f"site: this is '{self._site}'")
        if not is_said(said, signature):
            raise PoolRefused("signature: is not the wallet's")
        account = self._view.get("accounts", said.wallet)
        if account is None or not account.wallet:
            raise PoolRefused("wallet: is none on the ledger")
        known = self._index.get(said.wallet)
        if known is not None:
            return known
        if len(self._index) >= MOST_WALLETS:
            raise PoolRefused(f"wallet: {MOST_WALLETS} are in use, and no more fit")
        index = self._free.pop() if self._free else len(self._index)
        self._index[said.wallet] = index
        return index

    def leave(self, wallet: bytes) -> None:
        """A wallet is no longer in use here; nothing if it was not."""
        index = self._index.pop(wallet, None)
        if index is not None:
            self._free.append(index)

    def index_of(self, wallet: bytes) -> int | None:
        """The index of a wallet's account; none if it is not in use here."""
        return self._index.get(wallet)

    def wallets(self) -> dict[bytes, int]:
        """All wallets in use, with their accounts' indices."""
        return dict(self._index)
