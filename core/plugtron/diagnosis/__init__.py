"""Looking at plugins and at the machine: what is wrong, where, and what to do about it."""
