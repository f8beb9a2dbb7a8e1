"""Who runs the contracts: hosts that order messages, keep the state and prove it.

Knows the records and, by constructor, a ledger.
"""
