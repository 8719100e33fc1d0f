"""Fields of config.json that change nothing about what a decoder computes."""

from __future__ import annotations

__all__ = ["HARMLESS"]

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
