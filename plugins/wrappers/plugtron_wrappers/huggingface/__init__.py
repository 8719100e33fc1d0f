"""What models have in common in Hugging Face folders."""
