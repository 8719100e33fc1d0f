"""OLMo, from its second generation on."""
