"""Who bids, and by which rule: cars, the roof, the supplier. Each acts on what it may know."""
