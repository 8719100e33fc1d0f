"""Reading trained weights: formats, and putting tensors into a decoder."""
