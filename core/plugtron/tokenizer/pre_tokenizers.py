"""How byte-level BPE vocabularies cut text into words, by the names that GGUF files use for it.

Each name has the patterns that are applied one after the other. The patterns are the models' own, as published in
their tokenizer.json; the names are those of llama.cpp's `tokenizer.ggml.pre`.
"""

from __future__ import annotations

__all__ = ["ADD_BOS", "IGNORE_MERGES", "PATTERNS"]

_DIGIT = r"\p{N}"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_QWEN35 = (
    _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Words told apart by case: capitals then small letters, or small letters alone.
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = f"{_UPPER}|{_LOWER}|" + r"\p{N}" + _REST
_GPT4O = f"{_UPPER}{_CONTRACTION}?|{_LOWER}{_CONTRACTION}?|" + r"\p{N}{1,3}" + _REST
_DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK3_KIND = (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", _DEEPSEEK3)
_LLAMA3_KIND = frozenset(
    {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "midm-2.0", "jina-v5-nano"}
)
_DEEPSEEK = (
    r"[\r\n]",
    r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
    r"\s?[!-/:-~" + "\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"\s+$",
    "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    r"\p{N}+",
)
#: Words are whatever stands between spaces and marks.
_BLOOM = r" ?[^(\s|.,!?" + "\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
_BAILING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
_SEED = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
_EXAONE_MOE = (
    _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_UFAKZEKA = _QWEN2.removeprefix(f"{_CONTRACTION}|")
#: Runs of spaces are cut at powers of two.
_JAIS2 = _LLAMA3.replace(r"|\s+(?!\S)|\s+", "".join(rf"|\s{{{2**n}}}(?!\S)" for n in range(9, 1, -1))) + (
    r"|\s{1,2}(?!\S)|\s{1}"
)
_CHAMELEON = (
    r"<sentinel:[0-9]+>",
    r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    r"([\t\n]|    |  )",
    _DIGIT,
    r"[\p{P}!-/:-@\[-`{-~]",
    _GPT2,
)

PATTERNS: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]"),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", _DIGIT),
    "deepseek-v3": _DEEPSEEK3_KIND,
    "qwen35": (_QWEN35,),
    "deepseek-llm": _DEEPSEEK,
    "chameleon": _CHAMELEON,
    "jais-2": (_JAIS2,),
    "laguna": (r"[^\n]+|[\n]+", _QWEN2),
    "seed-coder": (_SEED,),
    "exaone-moe": (_EXAONE_MOE,),
    "ufakzeka": (_UFAKZEKA,),
    "viking": (_BLOOM, _DIGIT),
    **dict.fromkeys(("tiny_aya", "cohere2moe"), (r"\d{1,3}(?=(?:\d{3})*\b)", _GPT4O)),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), (_BLOOM,)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), (_BAILING,)),
    **dict.fromkeys(("hunyuan-dense", "joyai-llm", "hy_v4"), _DEEPSEEK3_KIND),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), (_GPT4O,)),
    **dict.fromkeys(("tekken",), (_TEKKEN,)),
    **dict.fromkeys(
        (
            *("gpt-2", "mpt", "olmo", "phi-2", "jais", "trillion", "gigachat", "mellum", "a.x-4.0", "exaone4"),
            *("granite-docling", "modern-bert", "roberta-bpe"),
            *("jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code"),
        ),
        (_GPT2,),
    ),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"), (_DIGIT, _GPT2)
    ),
    **dict.fromkeys(
        (
            *("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "f2llmv2", "hunyuan", "solar-open"),
            "grok-2",
        ),
        (_QWEN2,),
    ),
    **dict.fromkeys(("smaug-bpe", "dbrx", "chatglm-bpe", "glm4"), (_LLAMA3,)),
    **dict.fromkeys(_LLAMA3_KIND, (_LLAMA3,)),
}

#: A word that is a token is taken whole, before any merge.
IGNORE_MERGES = _LLAMA3_KIND | {"tekken", "glm4"}
#: Files that do not say whether a text begins with BOS mean that it does.
ADD_BOS = _LLAMA3_KIND | {"tekken", "chameleon"}
