"""The samplers that come with plugtron: the stages of the default chain."""

from __future__ import annotations

from plugtron import Component, Need, hookimpl

__all__ = ["plugtron_samplers"]


@hookimpl
def plugtron_samplers() -> list[Component]:
    """The stages, in the order of the default chain."""
    wrapper = frozenset({Need.WRAPPER})
    texts = frozenset({Need.TOKENIZER, Need.WRAPPER})
    return [
        Component(
            name="allowed_tokens",
            target="plugtron_samplers.allowed_tokens:AllowedTokens",
            params="plugtron_samplers.params:AllowedTokensParams",
            summary="only the ids in allowed_token_ids",
            needs=wrapper,
        ),
        Component(
            name="grammar",
            target="plugtron_samplers.grammar.stage:Grammar",
            params="plugtron_samplers.grammar.params:GrammarParams",
            summary="answers of a form: JSON of a schema, a regular expression, choices, a grammar",
            needs=frozenset({Need.TOKENIZER, Need.WRAPPER}),
        ),
        Component(
            name="min_tokens",
            target="plugtron_samplers.min_tokens:MinTokens",
            params="plugtron_samplers.params:MinTokensParams",
            summary="no stop token before min_tokens tokens",
            needs=texts,
        ),
        Component(
            name="bad_words",
            target="plugtron_samplers.bad_words:BadWords",
            params="plugtron_samplers.params:BadWordsParams",
            summary="no token that completes one of bad_words in the answer, however it is tokenized",
            needs=texts,
        ),
        Component(
            name="no_repeat_ngram",
            target="plugtron_samplers.no_repeat_ngram:NoRepeatNgram",
            params="plugtron_samplers.repetition_params:NoRepeatNgramParams",
            summary="no run of no_repeat_ngram_size tokens twice; none of encoder_no_repeat_ngram_size from the prompt",
            needs=wrapper,
        ),
        Component(
            name="logit_bias",
            target="plugtron_samplers.logit_bias:LogitBias",
            params="plugtron_samplers.params:LogitBiasParams",
            summary="logit_bias added to the logits of ids",
            needs=wrapper,
        ),
        Component(
            name="penalties",
            target="plugtron_samplers.penalties:Penalties",
            params="plugtron_samplers.params:PenaltiesParams",
            summary="repetition_penalty over prompt and answer, presence_ and frequency_penalty over the answer",
            needs=wrapper,
        ),
        Component(
            name="encoder_penalty",
            target="plugtron_samplers.encoder_penalty:EncoderPenalty",
            params="plugtron_samplers.repetition_params:EncoderPenaltyParams",
            summary="encoder_repetition_penalty raises the logits of the prompt's ids",
        ),
        Component(
            name="dry",
            target="plugtron_samplers.dry:Dry",
            params="plugtron_samplers.repetition_params:DryParams",
            summary="a penalty that grows with the repetition that a token would continue",
            needs=texts,
        ),
        Component(
            name="dynamic_temperature",
            target="plugtron_samplers.dynamic_temperature:DynamicTemperature",
            params="plugtron_samplers.adaptive_params:DynamicTemperatureParams",
            summary="a temperature within dynatemp_range of the fixed one, by the entropy",
        ),
        Component(
            name="temperature",
            target="plugtron_samplers.temperature:Temperature",
            params="plugtron_samplers.params:TemperatureParams",
            summary="logits divided by temperature; 0 is greedy",
        ),
        Component(
            name="top_n_sigma",
            target="plugtron_samplers.top_n_sigma:TopNSigma",
            params="plugtron_samplers.truncation_params:TopNSigmaParams",
            summary="logits within top_n_sigma standard deviations of the greatest",
        ),
        Component(
            name="top_k",
            target="plugtron_samplers.top_k:TopK",
            params="plugtron_samplers.params:TopKParams",
            summary="the top_k likeliest ids",
        ),
        Component(
            name="min_p",
            target="plugtron_samplers.min_p:MinP",
            params="plugtron_samplers.params:MinPParams",
            summary="ids at least min_p times as likely as the likeliest",
        ),
        Component(
            name="typical_p",
            target="plugtron_samplers.typical_p:TypicalP",
            params="plugtron_samplers.truncation_params:TypicalPParams",
            summary="ids of the most typical surprise that together reach probability typical_p",
        ),
        Component(
            name="top_p",
            target="plugtron_samplers.top_p:TopP",
            params="plugtron_samplers.params:TopPParams",
            summary="the likeliest ids that together reach probability top_p",
        ),
        Component(
            name="epsilon_cutoff",
            target="plugtron_samplers.epsilon_cutoff:EpsilonCutoff",
            params="plugtron_samplers.truncation_params:EpsilonCutoffParams",
            summary="ids of at least probability epsilon_cutoff",
        ),
        Component(
            name="eta_cutoff",
            target="plugtron_samplers.eta_cutoff:EtaCutoff",
            params="plugtron_samplers.truncation_params:EtaCutoffParams",
            summary="ids of at least a probability that eta_cutoff and the entropy give",
        ),
        Component(
            name="xtc",
            target="plugtron_samplers.xtc:XTC",
            params="plugtron_samplers.truncation_params:XTCParams",
            summary="with xtc_probability only the least likely of those that reach xtc_threshold",
        ),
        Component(
            name="mirostat",
            target="plugtron_samplers.mirostat:Mirostat",
            params="plugtron_samplers.adaptive_params:MirostatParams",
            summary="surprise held at mirostat_tau bits a token",
        ),
    ]
