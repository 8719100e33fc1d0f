"""Answers of a form that a request asks for, over llguidance."""
