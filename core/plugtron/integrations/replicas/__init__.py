"""An engine whose requests are run by replicas of a model, each an actor on some node of a Ray cluster."""
