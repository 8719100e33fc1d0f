"""What stands before endpoints: keys, limits, CORS, the log of requests."""
