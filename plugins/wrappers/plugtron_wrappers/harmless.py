"""Fields of config.json that change nothing about what a decoder computes."""

from __future__ import annotations

from collections.abc import Collection

from plugtron.contracts.checkpoint import ModelDescription
from plugtron.errors import CheckpointError

__all__ = ["HARMLESS", "refuse_unknown"]

HARMLESS = frozenset(
    {
        # what the file is, and who wrote it
        "_name_or_path",
        "architectures",
        "dtype",
        "finetuning_task",
        "model_type",
        "torch_dtype",
        "transformers_version",
        "unsloth_fixed",
        "unsloth_version",
        # special tokens: the tokenizer's and the generation's business
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "sep_token_id",
        # training
        "attention_dropout",
        "initializer_range",
        "pretraining_tp",
        "output_router_logits",
        "router_aux_loss_coef",
        "router_jitter_noise",
        # how transformers runs a model and what it returns
        "attn_implementation",
        "cache_implementation",
        "chunk_size_feed_forward",
        "id2label",
        "is_llama_config",
        "label2id",
        "output_attentions",
        "problem_type",
        "return_dict",
        "rope_interleaved",
        "transformers.js_config",
        "use_cache",
    }
)


def refuse_unknown(model: ModelDescription, understood: Collection[str], place: str, *, wrapper: str) -> None:
    """A field that nobody here reads may change what the model computes, unless it is empty.

    Raises:
        CheckpointError: with the field, and the option that allows it.
    """
    for name, value in model.configuration.items():
        if name not in HARMLESS and name not in understood and value not in (None, False, {}, []):
            raise CheckpointError(
                f"{place}: {name} (= {value!r}) is not implemented for {model.architecture}; if it changes nothing, "
                f"allow it with model.wrapper: {{name: {wrapper}, options: {{ignore_fields: [{name}]}}}}"
            )
