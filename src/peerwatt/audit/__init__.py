"""Checks from outside: a run folder or a receipt, trusting nothing that it says of itself."""
