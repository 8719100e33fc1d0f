"""What Llama-like models have in common in GGUF files."""
