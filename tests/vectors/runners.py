"""Hosts that can run a vector; a new host needs one function here, from a vector to an outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from small_hub import genesis, key
from vector import MemoryState, Rows, Slot, Vector, execute

from peerwatt.contracts import ledger
from peerwatt.contracts.state import CHAIN, CHAIN_KEY, TABLES, Chain
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.state import Committed, Row
from peerwatt.hosts.store import Store, Tip
from peerwatt.records.codec import decode, encode
from peerwatt.records.receipts import BlockResult, Receipt


class Outcome(NamedTuple):
    """What a host made of a vector: result, all rows after it and, of a lone message, admission."""

    result: BlockResult
    rows: Rows
    admission: Receipt | None


def contracts_alone(vector: Vector) -> Outcome:
    """The contracts on a dictionary, without a host."""
    times = (vector.height, vector.market_time_s)
    state, context, result = execute(vector.pre, *times, vector.transactions)
    admission = None
    if len(vector.transactions) == 1:
        admission = ledger.check_tx(MemoryState(vector.pre), context, vector.transactions[0])
    return Outcome(result, state.encoded(), admission)


def embedded(vector: Vector) -> Outcome:
    """The embedded host, restarted from a store that holds the vector's rows."""
    chain = decode(vector.pre[CHAIN.name, b"", CHAIN_KEY], Chain)
    document = encode(genesis(chain_id=chain.chain_id, tick_key=chain.tick_key))
    rows = [Row(*slot, value) for slot, value in vector.pre.items()]
    app_hash = Committed(TABLES, rows, []).app_hash
    store = Store(None)
    store.commit(Tip(0, document, app_hash, encode({})), rows, {}, None)
    host = EmbeddedHost(ledger, store, key("operator"), document)
    admission = None
    if len(vector.transactions) == 1 and not chain.tick_key:
        host.seal(vector.market_time_s)
    if len(vector.transactions) == 1:
        admission = host.submit(vector.transactions[0])
    host.seal(vector.market_time_s, extra=() if host.pending else vector.transactions)
    return Outcome(host.result(host.height), _rows(host, vector), admission)


def _rows(host: EmbeddedHost, vector: Vector) -> Rows:
    """All rows of the tables and scopes that the vector names."""
    shelves = {slot[:2] for slot in (*vector.pre, *vector.changes)}
    found: dict[Slot, bytes] = {}
    for table, scope in shelves:
        for at, record in host.items(table, scope):
            found[table, scope, at] = encode(record)
    return found


RUNNERS: dict[str, Callable[[Vector], Outcome]] = {
    "contracts alone": contracts_alone,
    "embedded host": embedded,
}
