"""PETCON's localized trade among plug-in hybrids: the claims of its section VI."""
