"""What stands at a site: charge points and meters, and the ports through which they are used."""
