"""Whoever clears a market for others: any member. Knows hosts.host, records, mechanisms, grid."""
