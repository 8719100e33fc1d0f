"""Replicas of a model, simulated: the engine's own scheduling and memory over steps that take what they are said to."""
