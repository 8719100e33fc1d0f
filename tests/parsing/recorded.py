"""The recorded answers of canitoolcall, a neutral collection, and the built-in parsers that read them."""

from canitoolcall.fixtures import load_families, load_fixtures

from plugtron.plugin.component import Kind
from plugtron.plugin.manager import PluginManager

FAMILIES = load_families()
FIXTURES = load_fixtures()
#: Which parser reads the answers of a family, by a part of the model's name where there are several.
PARSERS = {
    "qwen3-hermes": {"": "hermes"},
    "qwen3-xml": {"": "qwen3_xml"},
    "glm": {"": "glm"},
    "gpt-oss": {"": "gpt_oss"},
    "gemma4": {"": "gemma4"},
    "deepseek": {"V3-": "deepseek", "V3.1": "deepseek", "": "deepseek_dsml"},
    "kimi": {"K3": "kimi_k3", "": "kimi"},
    "llama": {"Llama-3": "llama3", "Llama-4": "llama4"},
    "mistral": {"Magistral-Small-2506": "mistral_think", "": "mistral"},
}
CLASSES = {offer.name: offer.load() for offer in PluginManager(builtins_only=True).registry.offers(Kind.PARSER)}


def parser_name(fixture):
    return next(name for part, name in PARSERS[fixture.family].items() if part in fixture.models[0])


def prompt_of(fixture):
    """What an answer goes on from, as far as it says anything."""
    reference = FAMILIES[fixture.family].reference_for(fixture.models[0])
    written = fixture.generation_prompt
    return (reference.default_generation_prompt or "") if written is None else written


def parser_of(fixture):
    return CLASSES[parser_name(fixture)](fixture.tools, prompt_of(fixture))
