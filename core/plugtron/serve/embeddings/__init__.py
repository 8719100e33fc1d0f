"""Embeddings, and what is compared by them: scores of pairs, ranked documents."""
