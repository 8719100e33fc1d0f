"""What engines share: scheduling, the queue of events, checking and tokenizing requests, and the asynchronous front."""
