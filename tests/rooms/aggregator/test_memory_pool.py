"""The memory pool: what it serves, and that it asks the chain for no more than is new."""

from __future__ import annotations

import pytest
from recording import record, settled
from small_hub import SmallHub, public

from peerwatt.aggregator.memory_pool import MemoryPool
from peerwatt.hosts.host import NotYetProved
from peerwatt.records import transactions as tx


def test_a_seller_is_served_the_records_that_it_signed() -> None:
    hub = settled()
    hub.done(record(hub))
    hub.block()
    pool = MemoryPool(hub.host)
    kinds = [type(each.message) for each in pool.history(public("bob")).transactions]
    assert kinds == [tx.OpenWallet, tx.PlaceSellOrder, tx.RecordTrade]
    kinds = [type(each.message) for each in pool.history(public("cat")).transactions]
    assert kinds == [tx.OpenWallet]


def test_what_stands_in_the_head_comes_with_the_next_block() -> None:
    hub = settled()
    pool = MemoryPool(hub.host)
    hub.done(record(hub))
    assert tx.RecordTrade not in [type(t.message) for t in pool.history(public("ann")).transactions]
    hub.block()
    assert pool.history(public("ann")).transactions[-1].message.nonce == 2


def test_what_anyone_could_have_sent_is_nobodys_history() -> None:
    """A replay spends no nonce of the wallet's, and so is none of its messages."""
    hub = settled()
    again = record(hub)
    hub.done(again)
    hub.block(again)
    hub.block(b"no transaction")
    hub.block()
    nonces = [
        t.message.nonce
        for t in MemoryPool(hub.host).history(public("ann")).transactions
        if t.message.signer == public("ann")
    ]
    assert nonces == list(range(hub.account("ann").nonce))


def test_before_the_first_block_there_is_nothing_to_prove() -> None:
    hub = SmallHub()
    with pytest.raises(NotYetProved):
        MemoryPool(hub.host).history(public("ann"))


def test_a_head_that_is_still_to_come_cannot_be_known() -> None:
    hub = settled()
    with pytest.raises(ValueError, match="known_height: there is no block"):
        MemoryPool(hub.host).history(public("ann"), hub.host.height + 1)
