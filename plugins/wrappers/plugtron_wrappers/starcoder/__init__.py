"""StarCoder, from its second generation on."""
