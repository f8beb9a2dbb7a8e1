"""PETCON's consortium with its proof of work, simulated beside rounds of votes."""
