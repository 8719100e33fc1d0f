"""What other software calls things, and what they are called here: for mistakes of those who come from there."""

from __future__ import annotations

__all__ = ["hint"]

#: Words of vLLM, transformers, llama.cpp, Megatron and OpenAI, and where the same stands in a spec.
_WORDS = {
    # parallel
    "tensor_parallel_size": "parallel.tensor",
    "tensor_model_parallel_size": "parallel.tensor",
    "tensor_parallel": "parallel.tensor",
    "pipeline_parallel_size": "parallel.pipeline",
    "pipeline_model_parallel_size": "parallel.pipeline",
    "pipeline_parallel": "parallel.pipeline",
    "data_parallel_size": "parallel.data",
    "world_size": "parallel.tensor × parallel.pipeline × parallel.data",
    # model
    "model_name_or_path": "model.checkpoint",
    "model_path": "model.checkpoint",
    "load": "model.checkpoint",
    "torch_dtype": "model.dtype",
    "params_dtype": "model.dtype",
    "load_in_4bit": "model.quantization: int4",
    "load_in_8bit": "model.quantization: int8",
    "quantization_config": "model.quantization",
    "kv_cache_dtype": "model.kv_dtype",
    "device_map": "device",
    # engine
    "max_num_seqs": "engine.options.max_batch_size",
    "inference_max_requests": "engine.options.max_batch_size",
    "batch_size": "engine.options.max_batch_size",
    "max_model_len": "engine.options.max_sequence_length",
    "inference_max_seq_length": "engine.options.max_sequence_length",
    "max_seq_len": "engine.options.max_sequence_length",
    "n_ctx": "engine.options.max_sequence_length",
    "max_num_batched_tokens": "engine.options.max_step_tokens",
    "gpu_memory_utilization": "engine.options.kv_cache_memory",
    "enable_prefix_caching": "engine.options.prefix_caching",
    "prompt_cache": "engine.options.prefix_cache_disk",
    "enforce_eager": "execution: eager",
    # sampling
    "max_new_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "num_tokens_to_generate": "max_tokens",
    "n_predict": "max_tokens",
    "min_new_tokens": "min_tokens",
    "do_sample": "temperature: 0 takes the most likely token, above 0 draws",
    "greedy": "temperature: 0",
    "num_return_sequences": "n",
    "num_beams": "beam_width, with controller: beam_search",
    "best_of": "n gives several answers; beam_width, with controller: beam_search, ranks them",
    "top_n_logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "return_log_probs": "logprobs: 0",
    "stop_words": "stop",
    "stop_strings": "stop",
    "termination_id": "stop_token_ids",
    "eos_token_id": "stop_token_ids",
    "bad_words_ids": "bad_words, which are texts, or logit_bias: {id: -inf}",
    "sequence_bias": "logit_bias, of single ids",
    "typical": "typical_p",
    "typ_p": "typical_p",
    "nsigma": "top_n_sigma",
    "top_nsigma": "top_n_sigma",
    "dry_penalty_last_n": "dry_range",
    "mirostat_mode": "mirostat",
    "ngram_size": "no_repeat_ngram_size",
    "repeat_penalty": "repetition_penalty",
    "random_seed": "seed",
}


def hint(name: str) -> str:
    """Return " Here it is called ...", or an empty text."""
    known = _WORDS.get(name.replace("-", "_"))
    return f" Here: {known}." if known else ""
