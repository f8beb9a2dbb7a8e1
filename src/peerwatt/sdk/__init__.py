"""What an integrator imports: keys in files that only their owner can open."""
