"""Which of several replicas of a model a request goes to."""
