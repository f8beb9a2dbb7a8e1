"""A V2V scheme in two rounds, claim by claim; knows the mechanisms and the search for lies."""
