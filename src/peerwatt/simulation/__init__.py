"""Days, worlds and faults: runs the other rooms together on real and drawn input."""
