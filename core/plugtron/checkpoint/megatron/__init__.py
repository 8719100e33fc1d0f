"""Reading Megatron's checkpoints, in both of its formats."""
