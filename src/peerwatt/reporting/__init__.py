"""What a run leaves behind: its folder, plots and pages. Knows units and records, and no rules."""
