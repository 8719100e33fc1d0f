"""The operations that a step is made of: the torch reference of each, which runs on any device."""
