"""From a resolved spec to something that runs: ranks, model, parts, and the session that runs requests over them."""
