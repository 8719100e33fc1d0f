"""Which contract the parts of each kind implement; asked by name, because contracts are loaded only when needed."""

from __future__ import annotations

from collections.abc import Mapping

from plugtron.plugin.component import Kind
from plugtron.utils.lazy import load_target

__all__ = ["ATTRIBUTES", "contract_of"]

_CONTRACTS: Mapping[Kind, str] = {
    Kind.ENGINE: "plugtron.contracts:Engine",
    Kind.CONTROLLER: "plugtron.contracts:TextGenerationController",
    Kind.WRAPPER: "plugtron.contracts:ModelWrapper",
    Kind.SAMPLER: "plugtron.contracts:Sampler",
    Kind.TOKENIZER: "plugtron.contracts:Tokenizer",
    Kind.CHECKPOINT: "plugtron.contracts:CheckpointReader",
    Kind.EXECUTION: "plugtron.contracts:ExecutionBackend",
    Kind.QUANTIZATION: "plugtron.contracts:QuantizationMethod",
    Kind.ATTENTION: "plugtron.contracts:AttentionBackend",
    Kind.COMMAND: "click:Command",
    Kind.PARSER: "plugtron.contracts:Parser",
    Kind.ROUTES: "plugtron.contracts:Routes",
}
#: What a contract has besides its methods, without a default.
ATTRIBUTES: Mapping[Kind, tuple[str, ...]] = {Kind.EXECUTION: ("name",), Kind.QUANTIZATION: ("name", "forms")}


def contract_of(kind: Kind) -> tuple[type, str]:
    """The class that parts of a kind are instances of, and its public name."""
    target = _CONTRACTS[kind]
    return load_target(target), target.replace(":", ".")
