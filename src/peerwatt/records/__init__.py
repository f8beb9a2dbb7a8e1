"""What is signed and stored: frozen records and their one encoding. Knows units and no rules."""
