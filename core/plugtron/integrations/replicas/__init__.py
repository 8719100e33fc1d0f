"""An engine that runs requests on replicas of a model, each an actor on a node of a Ray cluster."""
