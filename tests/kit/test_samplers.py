"""The built-in samplers pass the checks that anybody's have to."""

from plugtron.testing import SamplerChecks


class TestAllowedTokens(SamplerChecks):
    component = "allowed_tokens"
    cases = ({"allowed_token_ids": [3, 9, 200]}, {"allowed_token_ids": [7]})


class TestMinTokens(SamplerChecks):
    component = "min_tokens"
    cases = ({"min_tokens": 4, "stop_token_ids": [5, 8]},)


class TestLogitBias(SamplerChecks):
    component = "logit_bias"
    cases = ({"logit_bias": {3: 2.5, 250: -4.0}},)


class TestPenalties(SamplerChecks):
    component = "penalties"
    cases = ({"repetition_penalty": 1.3}, {"presence_penalty": 0.5, "frequency_penalty": 0.25})


class TestTemperature(SamplerChecks):
    component = "temperature"
    cases = ({"temperature": 0.5}, {"temperature": 1.7})


class TestMinP(SamplerChecks):
    component = "min_p"
    cases = ({"min_p": 0.05},)


class TestTopK(SamplerChecks):
    component = "top_k"
    cases = ({"top_k": 5}, {"top_k": 1})


class TestTopP(SamplerChecks):
    component = "top_p"
    cases = ({"top_p": 0.7}, {"top_p": 0.01})
