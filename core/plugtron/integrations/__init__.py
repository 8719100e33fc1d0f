"""Plugtron under other software's interfaces; each module needs that software, and is imported by whoever has it."""
