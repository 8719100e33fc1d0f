"""Which weights are held in which form."""
