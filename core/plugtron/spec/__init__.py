"""The spec file: its model, reading it, checking it, writing it out. No torch anywhere in here."""
