"""What is asked and what comes back: requests, sampling parameters, prompts."""
