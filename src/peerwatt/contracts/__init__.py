"""The rules: pure functions of state, message and block, in integers. Knows units and records."""
