"""What models really take on the machine at hand, and what its roofs are."""
