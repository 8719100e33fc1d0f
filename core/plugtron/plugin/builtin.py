"""The components that live in the core, offered like any plugin's."""

from __future__ import annotations

from plugtron.plugin.component import Component
from plugtron.plugin.hookspecs import hookimpl

__all__ = [
    "plugtron_attentions",
    "plugtron_checkpoints",
    "plugtron_executions",
    "plugtron_parsers",
    "plugtron_quantizations",
    "plugtron_routes",
    "plugtron_tokenizers",
]

_SENTENCEPIECE = ("SentencePieceTokenizer", "GPTSentencePieceTokenizer", "Llama2Tokenizer")


@hookimpl
def plugtron_checkpoints() -> list[Component]:
    """safetensors, GGUF and Megatron's formats."""
    return [
        Component(
            name="safetensors",
            target="plugtron.checkpoint.safetensors:SafetensorsReader",
            summary="Hugging Face folders: config.json and safetensors, single or sharded",
        ),
        Component(
            name="gguf",
            target="plugtron.checkpoint.gguf.reader:GGUFReader",
            summary="GGUF files of llama.cpp, plain and quantized",
        ),
        Component(
            name="megatron",
            target="plugtron.checkpoint.megatron.reader:MegatronReader",
            summary="folders of Megatron Core: torch_dist, or torch with a file per rank",
        ),
    ]


@hookimpl
def plugtron_tokenizers() -> list[Component]:
    """Hugging Face's, GGUF's, sentencepiece, GPT-2's, tiktoken, and none; with Megatron's names for them."""
    return [
        Component(
            name="huggingface",
            target="plugtron.tokenizer.huggingface:HuggingFaceTokenizer",
            options="plugtron.tokenizer.options:PathOptions",
            summary="tokenizer.json of a Hugging Face folder",
            provides=frozenset({"tokenizer.json", "megatron/HuggingFaceTokenizer"}),
            aliases=("HuggingFaceTokenizer",),
        ),
        Component(
            name="gguf",
            target="plugtron.tokenizer.gguf:GGUFTokenizer",
            options="plugtron.tokenizer.options:PathOptions",
            summary="the tokenizer inside a GGUF file, kinds gpt2 and llama",
            provides=frozenset({"gguf"}),
        ),
        Component(
            name="sentencepiece",
            target="plugtron.tokenizer.sentencepiece:SentencePieceTokenizer",
            options="plugtron.tokenizer.options:SentencePieceOptions",
            summary="a sentencepiece .model file",
            provides=frozenset({"tokenizer.model", *(f"megatron/{name}" for name in _SENTENCEPIECE)}),
            aliases=_SENTENCEPIECE,
        ),
        Component(
            name="gpt2",
            target="plugtron.tokenizer.gpt2:GPT2Tokenizer",
            options="plugtron.tokenizer.options:GPT2Options",
            summary="GPT-2's vocab.json and merges.txt",
            provides=frozenset({"vocab.json", "megatron/GPT2BPETokenizer"}),
            aliases=("GPT2BPETokenizer",),
        ),
        Component(
            name="tiktoken",
            target="plugtron.tokenizer.tiktoken:TiktokenTokenizer",
            options="plugtron.tokenizer.options:TiktokenOptions",
            summary="a .tiktoken file, or Megatron's JSON form of one",
            provides=frozenset({"megatron/TikTokenizer"}),
            install_hint="pip install 'plugtron[tiktoken]'",
            aliases=("TikTokenizer",),
        ),
        Component(
            name="ids",
            target="plugtron.tokenizer.ids:NullTokenizer",
            options="plugtron.tokenizer.options:NullOptions",
            summary="none: text is token ids with spaces between them",
            provides=frozenset({"megatron/NullTokenizer"}),
            aliases=("NullTokenizer",),
        ),
    ]


@hookimpl
def plugtron_executions() -> list[Component]:
    """Native calls, captured graphs, and torch."""
    return [
        Component(
            name="native",
            target="plugtron.execution.builtin:native",
            summary="a step as one call of compiled code, on a CPU",
        ),
        Component(
            name="graph",
            target="plugtron.execution.builtin:graph",
            summary="steps of Triton kernels, captured as CUDA graphs",
        ),
        Component(name="eager", target="plugtron.execution.builtin:eager", summary="the decoder's own code, in torch"),
    ]


@hookimpl
def plugtron_quantizations() -> list[Component]:
    """4 and 8 bits in groups of 32, e4m3, and blocks as they are in a file."""
    return [
        Component(
            name="int8", target="plugtron.quantization.builtin:int8", summary="linear layers of 8 bits in groups of 32"
        ),
        Component(
            name="int4", target="plugtron.quantization.builtin:int4", summary="linear layers of 4 bits in groups of 32"
        ),
        Component(
            name="fp8",
            target="plugtron.quantization.builtin:fp8",
            summary="linear layers in e4m3, with a scale for each output",
        ),
        Component(
            name="as_stored",
            target="plugtron.quantization.builtin:as_stored",
            summary="the blocks of a file as they are",
            aliases=("native",),
        ),
    ]


@hookimpl
def plugtron_attentions() -> list[Component]:
    """torch's scaled_dot_product_attention over gathered histories."""
    return [
        Component(
            name="torch",
            target="plugtron.execution.builtin:torch_attention",
            summary="histories gathered from their blocks, then torch's scaled_dot_product_attention",
        )
    ]


@hookimpl
def plugtron_parsers() -> list[Component]:
    """Parsers for the ways that open families write tool calls and reasoning."""
    return [
        Component(
            name="hermes",
            target="plugtron.parsing.hermes:HermesParser",
            summary="Hermes, Qwen 2.5, Qwen 3: JSON in <tool_call>, <think>",
            aliases=("qwen", "qwen25"),
        ),
        Component(
            name="qwen3_xml",
            target="plugtron.parsing.qwen3_xml:Qwen3XmlParser",
            summary="Qwen 3 Coder, Qwen 3.5 and later: <function=...>, <think>",
            aliases=("qwen3_coder",),
        ),
        Component(
            name="llama3",
            target="plugtron.parsing.llama3:Llama3Parser",
            summary="Llama 3.1 to 3.3: JSON, with <|python_tag|> or without",
            aliases=("llama3_json",),
        ),
        Component(
            name="llama4",
            target="plugtron.parsing.llama4:Llama4Parser",
            summary="Llama 4: a list of calls as in Python",
            aliases=("llama4_pythonic", "pythonic"),
        ),
        Component(
            name="mistral", target="plugtron.parsing.mistral:MistralParser", summary="Mistral: [TOOL_CALLS], [THINK]"
        ),
        Component(
            name="mistral_think",
            target="plugtron.parsing.mistral:TextThinkMistralParser",
            summary="the first Magistral: [TOOL_CALLS], <think>",
        ),
        Component(
            name="deepseek",
            target="plugtron.parsing.deepseek:DeepseekParser",
            summary="DeepSeek V3, R1, V3.1: JSON between tokens, <think>",
            aliases=("deepseek_v3", "deepseek_v31"),
        ),
        Component(
            name="deepseek_dsml",
            target="plugtron.parsing.deepseek_dsml:DeepseekDsmlParser",
            summary="DeepSeek V3.2, V4: tags of ｜DSML｜, <think>",
            aliases=("deepseek_v32", "deepseek_v4"),
        ),
        Component(
            name="glm",
            target="plugtron.parsing.glm:GlmParser",
            summary="GLM 4.5 and later: <arg_key>, <arg_value>, <think>",
            aliases=("glm45", "glm47"),
        ),
        Component(
            name="kimi",
            target="plugtron.parsing.kimi:KimiParser",
            summary="Kimi K2: JSON between tokens, <think>",
            aliases=("kimi_k2",),
        ),
        Component(
            name="kimi_k3", target="plugtron.parsing.kimi_k3:KimiK3Parser", summary="Kimi K3: elements between tokens"
        ),
        Component(
            name="gemma4",
            target="plugtron.parsing.gemma4:Gemma4Parser",
            summary="Gemma 4: calls and thoughts between tokens",
        ),
        Component(
            name="gpt_oss",
            target="plugtron.parsing.gpt_oss:GptOssParser",
            summary="gpt-oss: channels of the harmony format",
            aliases=("harmony",),
        ),
        Component(name="think", target="plugtron.parsing.think:ThinkParser", summary="reasoning in <think>, no calls"),
    ]


_SERVE = "pip install 'plugtron[serve]'"


@hookimpl
def plugtron_routes() -> list[Component]:
    """The endpoints of `plugtron serve`."""
    return [
        Component(
            name="log",
            target="plugtron.serve.middleware.request_log:RequestLog",
            options="plugtron.serve.options:RequestLogOptions",
            summary="a line of JSON for each request, on standard error or in a file",
            install_hint=_SERVE,
        ),
        Component(
            name="api_keys",
            target="plugtron.serve.middleware.api_keys:ApiKeys",
            options="plugtron.serve.options:ApiKeyOptions",
            summary="keys that clients must send",
            install_hint=_SERVE,
        ),
        Component(
            name="rate_limit",
            target="plugtron.serve.middleware.rate_limit:RateLimit",
            options="plugtron.serve.options:RateLimitOptions",
            summary="requests that a client may make in a minute",
            install_hint=_SERVE,
        ),
        Component(
            name="cors",
            target="plugtron.serve.middleware.cors:Cors",
            options="plugtron.serve.options:CorsOptions",
            summary="pages of other origins that may ask from a browser",
            install_hint=_SERVE,
        ),
        Component(
            name="traces",
            target="plugtron.serve.middleware.traces:Traces",
            summary="a span for each request, through OpenTelemetry",
            install_hint="pip install 'plugtron[serve]' opentelemetry-sdk",
        ),
        Component(
            name="health",
            target="plugtron.serve.health:HealthRoutes",
            summary="/health, /ready, /version",
            install_hint=_SERVE,
        ),
        Component(
            name="openai",
            target="plugtron.serve.openai.routes:OpenAIRoutes",
            summary="/v1/models, /v1/completions, /v1/chat/completions",
            install_hint=_SERVE,
        ),
        Component(
            name="messages",
            target="plugtron.serve.anthropic.routes:MessagesRoutes",
            summary="/v1/messages, /v1/messages/count_tokens, as Anthropic's API has them",
            install_hint=_SERVE,
        ),
        Component(
            name="responses",
            target="plugtron.serve.responses.routes:ResponsesRoutes",
            options="plugtron.serve.options:ResponsesOptions",
            summary="/v1/responses, as OpenAI's API has it",
            install_hint=_SERVE,
        ),
        Component(
            name="embeddings",
            target="plugtron.serve.embeddings.routes:EmbeddingRoutes",
            summary="/v1/embeddings, /v1/score, /v1/rerank",
            install_hint=_SERVE,
        ),
        Component(
            name="tokenize",
            target="plugtron.serve.tokenize:TokenizeRoutes",
            summary="/tokenize, /detokenize",
            install_hint=_SERVE,
        ),
        Component(
            name="openapi",
            target="plugtron.serve.openapi:OpenApiRoutes",
            summary="/openapi.json, what all endpoints take",
            install_hint=_SERVE,
        ),
        Component(
            name="metrics",
            target="plugtron.serve.metrics_routes:MetricsRoutes",
            summary="/metrics, for Prometheus",
            install_hint=_SERVE,
        ),
        Component(
            name="control",
            target="plugtron.serve.control:ControlRoutes",
            summary="/pause, /resume, /sleep, /wake, /update_weights: for those who train the model that is served",
            install_hint=_SERVE,
        ),
        Component(
            name="pages",
            target="plugtron.serve.pages.routes:PagesRoutes",
            summary="/ and /plugtron: a chat, and what the server is doing, in the browser",
            install_hint=_SERVE,
        ),
        Component(
            name="batches",
            target="plugtron.serve.batches.routes:Batches",
            options="plugtron.serve.options:BatchOptions",
            summary="/v1/files and /v1/batches, kept in a folder",
            install_hint=_SERVE,
        ),
    ]
