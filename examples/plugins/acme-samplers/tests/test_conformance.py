"""What every sampler has to keep to."""

from plugtron.testing import SamplerChecks


class TestTypicalP(SamplerChecks):
    plugin = "acme_samplers"
    component = "acme_typical_p"
    cases = ({"acme_typical_p": 0.3}, {"acme_typical_p": 0.95})


class TestBadWords(SamplerChecks):
    plugin = "acme_samplers"
    component = "acme_bad_words"
    cases = ({"acme_bad_words": ["x"]}, {"acme_bad_words": ["bad", "words", "ä"]})
