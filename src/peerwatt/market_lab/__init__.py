"""Markets from a file, and what a mechanism is worth when somebody lies to it."""
