"""How a decoder's step is run; chosen once, at assembly."""
