"""The registration authority: who drives, under which wallets, told to nobody but in a dispute."""
