"""The built-in samplers pass the checks that anybody's have to."""

from plugtron.testing import SamplerChecks


class TestAllowedTokens(SamplerChecks):
    component = "allowed_tokens"
    cases = ({"allowed_token_ids": [3, 9, 200]}, {"allowed_token_ids": [7]})


class TestGrammar(SamplerChecks):
    component = "grammar"
    cases = (
        {"regex": "[a-z]{2,5}[0-9]"},
        {"choice": ["yes", "no"]},
        {"json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        {"response_format": {"type": "json_object"}},
        {"grammar": 'start: "a" /b+/'},
        {"gbnf": 'root ::= "a" [b-d]*'},
    )


class TestMinTokens(SamplerChecks):
    component = "min_tokens"
    cases = ({"min_tokens": 4, "stop_token_ids": [5, 8]},)


class TestLogitBias(SamplerChecks):
    component = "logit_bias"
    cases = ({"logit_bias": {3: 2.5, 250: -4.0}},)


class TestPenalties(SamplerChecks):
    component = "penalties"
    cases = ({"repetition_penalty": 1.3}, {"presence_penalty": 0.5, "frequency_penalty": 0.25})


class TestEncoderPenalty(SamplerChecks):
    component = "encoder_penalty"
    cases = ({"encoder_repetition_penalty": 1.5}, {"encoder_repetition_penalty": 0.7})


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


class TestBadWords(SamplerChecks):
    component = "bad_words"
    cases = ({"bad_words": ["ab", "é"]}, {"bad_words": ["q"]})


class TestNoRepeatNgram(SamplerChecks):
    component = "no_repeat_ngram"
    cases = (
        {"no_repeat_ngram_size": 1},
        {"no_repeat_ngram_size": 3},
        {"encoder_no_repeat_ngram_size": 2},
        {"encoder_no_repeat_ngram_size": 2, "no_repeat_ngram_size": 3},
    )


class TestDry(SamplerChecks):
    component = "dry"
    cases = (
        {"dry_multiplier": 0.8, "dry_allowed_length": 1},
        {"dry_multiplier": 2, "dry_sequence_breakers": ["a", "b"]},
    )


class TestDynamicTemperature(SamplerChecks):
    component = "dynamic_temperature"
    cases = ({"dynatemp_range": 0.5}, {"temperature": 0.7, "dynatemp_range": 2.0, "dynatemp_exponent": 2.5})


class TestTopNSigma(SamplerChecks):
    component = "top_n_sigma"
    cases = ({"top_n_sigma": 1.0}, {"top_n_sigma": 0.01})


class TestTypicalP(SamplerChecks):
    component = "typical_p"
    cases = ({"typical_p": 0.7}, {"typical_p": 0.01})


class TestEpsilonCutoff(SamplerChecks):
    component = "epsilon_cutoff"
    cases = ({"epsilon_cutoff": 0.01}, {"epsilon_cutoff": 0.99})


class TestEtaCutoff(SamplerChecks):
    component = "eta_cutoff"
    cases = ({"eta_cutoff": 0.01}, {"eta_cutoff": 0.9})


class TestXTC(SamplerChecks):
    component = "xtc"
    cases = ({"xtc_probability": 1.0, "xtc_threshold": 0.02}, {"xtc_probability": 0.5})


class TestMirostat(SamplerChecks):
    component = "mirostat"
    cases = ({"mirostat": 2, "mirostat_tau": 2.0}, {"mirostat": 2, "mirostat_eta": 0.7})
