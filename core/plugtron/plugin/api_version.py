"""The version of what plugins are written against: hooks, records and contracts."""

__all__ = ["API_VERSION"]

#: Raised only when something a plugin relies on is removed or renamed; additions leave it alone.
API_VERSION = 1
