"""The command line: turns words into calls of the rooms below, and their refusals into one line."""
