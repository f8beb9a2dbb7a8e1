"""Papers' numerical claims, run again: what a study is, how it is run, what it comes to."""
