"""The three parts of a hub's aggregator: transaction server, account pool and memory pool.

What they keep is their own and on no ledger: who asked for how much until when, which wallets are
in use here, where in the chain a wallet's messages are. What they say can be checked against it.
"""
