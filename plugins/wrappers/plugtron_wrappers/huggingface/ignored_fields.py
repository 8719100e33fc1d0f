"""Fields of config.json that a wrapper does not read: which of them change the computation, and stop a run."""

from __future__ import annotations

import re
from collections.abc import Collection

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError

__all__ = ["refuse_unknown", "unknown_fields"]

#: Words in the names of fields that say what a model computes. Whatever else config.json holds is about training, about
#: how transformers runs or saves a model, or a default for generation.
_COMPUTES = re.compile(
    r"activation|alibi|attention_multiplier|attention_type|bias|bidirectional|chunk_size$|clip|conv|cross_attention|decoder_sparse|"
    r"embedding_multiplier|embedding_size|expert|gate|hidden_act|kv_lora|layer_norm|layernorm|logit_scale|logits_scaling|"
    r"lora_rank|mamba|merger|mla|moe|mscale|mup|nope|norm_topk|norm_type|parallel_attn|parallel_residual|partial_rotary|"
    r"position_embedding|pre_attn_scalar|pruned|q_lora|qk_|query_pre|residual_multiplier|rope|rotary|scale_(depth|emb)|"
    r"sink|sliding|softcap|sparse|ssm|state_size|topk_|n_group|normalization|use_qk|vision|audio|window|weight_tying|"
    r"word_embed_proj|quantization_config|compression_config|is_causal|is_encoder_decoder|model_parallel_mlp|hyper_connection"
)
#: Names with such a word that change nothing all the same.
_HARMLESS = frozenset(
    {
        "_sliding_window_pattern",  # what layer_types has been made from
        "attn_implementation",
        "chunk_size_feed_forward",
        "is_llama_config",
        "output_router_logits",
        "rope_interleaved",
        "router_aux_loss_coef",
        "router_jitter_noise",
        "tie_encoder_decoder",
    }
)
_NEUTRAL = (None, False, {}, [], "", 0)


def unknown_fields(model: ModelDescription, understood: Collection[str]) -> dict[str, object]:
    """The fields that change what the model computes and that nobody here reads; empty and neutral ones left out."""
    found = {}
    for name, value in model.configuration.items():
        # Not causal, each token looks at all: some models for embeddings.
        neutral = value in _NEUTRAL and name != "is_causal"
        plain = name in understood or name in _HARMLESS or neutral or (name == "is_causal" and value is not False)
        if not plain and _COMPUTES.search(name) and not (name == "partial_rotary_factor" and value == 1):
            found[name] = value
    return found


def refuse_unknown(model: ModelDescription, understood: Collection[str], place: str, *, wrapper: str) -> None:
    """Refuse a configuration with fields that change what the model computes and that nobody here reads.

    Raises:
        CheckpointError: with all of them, and the option that allows them.
    """
    found = unknown_fields(model, understood)
    if found:
        listed = ", ".join(f"{name} (= {str(value)[:40]!r})" for name, value in found.items())
        raise CheckpointError(
            f"{place}: {listed}: not implemented for {model.architecture}; if it changes nothing, allow it with "
            f"model.wrapper: {{name: {wrapper}, options: {{ignore_fields: [{', '.join(found)}]}}}}"
        )
