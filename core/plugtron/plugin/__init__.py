"""The plugin system: hooks, discovery, registry, and the options of components."""
