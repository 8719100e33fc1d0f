"""Requests in bulk: lines of OpenAI's batch form, from a file or uploaded, answered by the server's own endpoints."""
