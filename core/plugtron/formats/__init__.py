"""File formats below checkpoint readers and tokenizers."""
