"""Adapters to the interfaces of other software. Each module imports that software, which must be installed."""
