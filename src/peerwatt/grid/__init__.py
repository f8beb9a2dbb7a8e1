"""Physics and prices of the grid in numpy alone. Knows no cars, no orders and no ledger."""
