"""What models have in common in Megatron's checkpoints."""
