"""The samplers that come with plugtron: the stages of the default chain."""

from __future__ import annotations

from plugtron import Component, Need, hookimpl

__all__ = ["plugtron_samplers"]


@hookimpl
def plugtron_samplers() -> list[Component]:
    """The eight stages, in the order of the default chain."""
    wrapper = frozenset({Need.WRAPPER})
    return [
        Component(
            name="allowed_tokens",
            target="plugtron_samplers.allowed_tokens:AllowedTokens",
            params="plugtron_samplers.params:AllowedTokensParams",
            summary="only the ids in allowed_token_ids",
            needs=wrapper,
        ),
        Component(
            name="min_tokens",
            target="plugtron_samplers.min_tokens:MinTokens",
            params="plugtron_samplers.params:MinTokensParams",
            summary="no stop token before min_tokens tokens",
            needs=frozenset({Need.TOKENIZER, Need.WRAPPER}),
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
            name="temperature",
            target="plugtron_samplers.temperature:Temperature",
            params="plugtron_samplers.params:TemperatureParams",
            summary="logits divided by temperature; 0 is greedy",
        ),
        Component(
            name="min_p",
            target="plugtron_samplers.min_p:MinP",
            params="plugtron_samplers.params:MinPParams",
            summary="ids at least min_p times as likely as the likeliest",
        ),
        Component(
            name="top_k",
            target="plugtron_samplers.top_k:TopK",
            params="plugtron_samplers.params:TopKParams",
            summary="the top_k likeliest ids",
        ),
        Component(
            name="top_p",
            target="plugtron_samplers.top_p:TopP",
            params="plugtron_samplers.params:TopPParams",
            summary="the likeliest ids that together reach probability top_p",
        ),
    ]
