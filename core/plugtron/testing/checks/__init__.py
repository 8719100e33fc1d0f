"""Classes of checks, one for each kind of component."""
