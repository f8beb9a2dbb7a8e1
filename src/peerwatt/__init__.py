"""peerwatt: electric vehicles trade energy with one another, settled on a ledger anyone can check.

Knows nothing but its version; every room is imported by its own name, so that
`import peerwatt` costs nothing.
"""

__version__ = "0.1.0"
