"""Market mechanisms: numpy arrays in, frozen results out; knows no other room, usable alone."""
