"""A request for every parameter, and the engines, controllers and ranks that tests run all of them on.

tests/plugins/test_request_matrix.py runs what docs/sampling.md has in its last table.
"""

from plugtron.plugin.component import Kind, Need

#: Letters and a special token of the small models of `plugtron.testing`: answers repeat themselves.
FEW = {"allowed_token_ids": [64, 65, 66, 67, 256]}

#: For each parameter what a request has that asks for it.
CASES = {
    "allowed_token_ids": {"allowed_token_ids": [40, 41, 42, 99]},
    "response_format": {"response_format": {"type": "json_object"}},
    "json_schema": {"json_schema": {"enum": ["yes", "no"]}},
    "regex": {"regex": "[a-c]{2,6}"},
    "choice": {"choice": ["left", "right"]},
    "grammar": {"grammar": 'start: "a" /b+/'},
    "gbnf": {"gbnf": 'root ::= "a" [b-d]*'},
    "min_tokens": {"min_tokens": 10, "stop_token_ids": list(range(100))},
    "bad_words": {"bad_words": ["a", "e", " "]},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 1},
    "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 1},
    "logit_bias": {"logit_bias": {99: 9.0, 100: "-inf"}},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 3.0},
    "repetition_penalty": FEW | {"repetition_penalty": 1.5},
    "presence_penalty": {"presence_penalty": -2.0},
    "frequency_penalty": FEW | {"frequency_penalty": 0.7},
    "dry_multiplier": FEW | {"dry_multiplier": 2.0},
    "dry_base": FEW | {"dry_multiplier": 2.0, "dry_allowed_length": 1, "dry_base": 1.0},
    "dry_allowed_length": FEW | {"dry_multiplier": 2.0, "dry_allowed_length": 1},
    "dry_sequence_breakers": FEW | {"dry_multiplier": 2.0, "dry_allowed_length": 1, "dry_sequence_breakers": ["c"]},
    "dry_range": FEW | {"dry_multiplier": 2.0, "dry_allowed_length": 1, "dry_range": 5},
    "dynatemp_range": {"dynatemp_range": 0.5},
    "dynatemp_exponent": {"dynatemp_range": 0.5, "dynatemp_exponent": 2.0},
    "temperature": {"temperature": 0},
    "top_n_sigma": {"top_n_sigma": 1.0},
    "top_k": {"top_k": 20},
    "min_p": {"min_p": 0.2},
    "typical_p": {"typical_p": 0.5},
    "top_p": {"top_p": 0.5},
    "epsilon_cutoff": {"epsilon_cutoff": 0.005},
    "eta_cutoff": {"eta_cutoff": 0.01},
    "xtc_probability": {"xtc_probability": 0.5, "xtc_threshold": 0.01},
    "xtc_threshold": {"xtc_probability": 1.0, "xtc_threshold": 0.004},
    "mirostat": {"mirostat": 2},
    "mirostat_tau": {"mirostat": 2, "mirostat_tau": 3.0},
    "mirostat_eta": {"mirostat": 2, "mirostat_eta": 0.5},
    "stop": {"stop": ["a", "e", "i"], "max_tokens": 40},
    "stop_token_ids": {"stop_token_ids": list(range(60))},
    "ignore_eos": {"ignore_eos": True, "allowed_token_ids": [64, 257]},
    "max_tokens": {"max_tokens": 3},
    "truncate_prompt_tokens": {"truncate_prompt_tokens": 3},
    "seed": {"seed": 77},
    "n": {"n": 3},
    "logprobs": {"logprobs": 2},
    "logprobs_mode": {"logprobs": 2, "logprobs_mode": "processed", "top_k": 4},
    "prompt_logprobs": {"prompt_logprobs": 1},
    "prompt_logprobs_start": {"prompt_logprobs": 1, "prompt_logprobs_start": 2},
    "pooling": {"pooling": "mean"},
    "normalize": {"pooling": "last", "normalize": False},
    "hidden_layers": {"pooling": "last", "hidden_layers": [0, -1]},
    "echo": {"echo": True},
    "skip_special_tokens": FEW | {"skip_special_tokens": False},
    "spaces_between_special_tokens": FEW | {"skip_special_tokens": False, "spaces_between_special_tokens": True},
    "include_stop_str_in_output": {"stop": ["a", "e", "i"], "include_stop_str_in_output": True, "max_tokens": 40},
    "beam_width": {"beam_width": 3, "max_tokens": 12},
    "length_penalty": {"beam_width": 3, "length_penalty": 2.0, "max_tokens": 12},
    "early_stopping": {"beam_width": 3, "early_stopping": True, "max_tokens": 12},
    "guidance_scale": {"guidance_scale": 1.5},
    "negative_prompt": {"guidance_scale": 1.5, "negative_prompt": "the dog"},
}
#: What a request has besides, unless its case says otherwise; `n` and `seed` ask for draws.
COMMON = {"seed": 5, "max_tokens": 24, "temperature": 1.1}
#: Cases without a draw, beside which a temperature and a seed would be refused.
WITHOUT_DRAWS = ("pooling", "normalize", "hidden_layers", "beam_width", "length_penalty", "early_stopping")

#: Layouts of ranks, by how the table names them.
RANKS = {"1": {}, "TP": {"tensor_parallel": 2}, "PP": {"pipeline_parallel": 2}}
#: What a layout has to refuse: the layers are on several stages.
REFUSED = {("hidden_layers", "PP")}


def request_of(name):
    """The parameters of the request that asks for one."""
    common = {} if name in WITHOUT_DRAWS else COMMON
    return common | CASES[name]


def request_without(name):
    """The same request without the parameter."""
    return {key: value for key, value in request_of(name).items() if key != name}


def pairs(registry):
    """The engines that run plugtron's models, with each of their controllers: [(engine, controller)]."""
    return [
        (engine, controller)
        for engine in registry.offers(Kind.ENGINE)
        for controller in registry.offers(Kind.CONTROLLER)
        if Need.CONTROLLER in engine.component.needs
    ]


def parameters_of(controller, chain):
    """What a controller and the names of the chain use, in the order of the cases."""
    used = {*controller.params_model().model_fields, *chain}
    return [name for name in CASES if name in used]
