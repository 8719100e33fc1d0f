"""Ranks: the groups they form, how a job of them starts, and the layers whose weights they share out."""
