"""GPT: what Megatron Core's GPTModel trains, and GPT-2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from plugtron import Options
from plugtron.contracts import (
    CheckpointReader,
    Export,
    ModelDescription,
    ModelOptions,
    MTPModule,
    Parts,
    Runtime,
    WeightMap,
)
from plugtron.errors import CheckpointError
from plugtron.execution import DecoderWrapper
from plugtron.nn import TransformerDecoder
from plugtron.utils import read_mapping
from plugtron_wrappers.export import export
from plugtron_wrappers.gpt.gpt2 import config_from_gpt2, gpt2_weights
from plugtron_wrappers.gpt.gpt2_gguf import config_from_gpt2_gguf, gpt2_gguf_weights
from plugtron_wrappers.gpt.plugtron_config import PLAIN_ARCHITECTURE, config_from_plain
from plugtron_wrappers.huggingface.weights import huggingface_weights
from plugtron_wrappers.megatron.config import MegatronModel, check_overrides, model_from_megatron
from plugtron_wrappers.megatron.mtp_module import MegatronMTPModule
from plugtron_wrappers.megatron.weights import megatron_weights
from plugtron_wrappers.options import GPTOptions

__all__ = ["GPTWrapper"]


class GPTWrapper(DecoderWrapper):
    """Runs checkpoints of Megatron Core, GPT-2 and plugtron's own from Hugging Face folders, and GPT-2 from GGUF files.

    Args:
        vocab_size: how many ids the tokenizer knows; those above are padding and are never drawn. By default what
            the checkpoint says.

    Raises:
        CheckpointError: the configuration lacks something, or asks for what is not implemented.
        ParallelError: the heads cannot be shared out over the ranks.
    """

    def __init__(
        self,
        runtime: Runtime,
        checkpoint: CheckpointReader,
        options: GPTOptions | None = None,
        *,
        model: ModelDescription | None = None,
        model_options: ModelOptions | None = None,
        vocab_size: int | None = None,
    ) -> None:
        model = model or checkpoint.model
        overrides = _overrides(model, options or GPTOptions())
        model = replace(model, configuration={**model.configuration, **overrides})
        vocab_size = overrides.get("vocab_size", vocab_size)
        self._megatron: MegatronModel | None = None
        ignored = frozenset((options or GPTOptions()).ignore_fields)
        if model.format == "megatron":
            self._megatron = model_from_megatron(
                model.configuration, checkpoint.tensors, ignored, str(model.path), vocab_size
            )
            config = self._megatron.config
        elif model.format == "gguf":
            config = config_from_gpt2_gguf(model, checkpoint)
        elif model.architecture == PLAIN_ARCHITECTURE:
            config = config_from_plain(model)
        else:
            config = config_from_gpt2(model, ignored)
        super().__init__(runtime, checkpoint, model, config, model_options)
        self._mtp_modules: tuple[MegatronMTPModule, ...] = ()

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> GPTWrapper:
        """Build from a spec."""
        assert isinstance(options, GPTOptions)
        assert parts.checkpoint is not None
        known = None if parts.tokenizer is None else parts.tokenizer.vocab_size
        return cls(
            parts.runtime,
            parts.checkpoint,
            options,
            model=parts.model,
            model_options=parts.options,
            vocab_size=known,
        )

    def build(self, layers: range) -> TransformerDecoder:
        """Return the decoder with these layers."""
        return TransformerDecoder(self.config, layers, self.runtime)

    def mtp_modules(self, count: int) -> tuple[MTPModule, ...]:
        """Return those of Megatron's checkpoint."""
        if self._megatron is not None:
            depths = range(1, 1 + min(count, self._megatron.mtp_layers))
            self._mtp_modules = tuple(MegatronMTPModule(self, self._megatron, depth) for depth in depths)
        return self._mtp_modules

    def agree(self) -> None:
        """Agree on how the modules' steps are run, too."""
        super().agree()
        for module in self._mtp_modules:
            module.agree()

    def update_weights(self, path: Path) -> None:
        """Read the modules' weights, too: first, so that what fails then leaves the model as it was."""
        for module in self._mtp_modules:
            module.update_weights(path)
        super().update_weights(path)

    def export(self) -> Export:
        """Say how the model is written as a Hugging Face folder."""
        return export(self.config)

    def weight_map(self, format: str) -> WeightMap:  # noqa: A002 - the contract's word for it
        """Say where the parameters stand."""
        if format == "megatron":
            assert self._megatron is not None
            return megatron_weights(self._megatron)
        if format == "gguf":
            return gpt2_gguf_weights(self.config, self.checkpoint.tensors)
        if self.model.architecture == PLAIN_ARCHITECTURE:
            return huggingface_weights(self.config)
        return gpt2_weights(self.config, self.checkpoint.tensors)


def _overrides(model: ModelDescription, options: GPTOptions) -> dict[str, Any]:
    """What the options say instead of the checkpoint."""
    written: dict[str, Any] = {}
    if options.configuration_file is not None:
        file = Path(options.configuration_file).expanduser()
        if not file.is_file():
            raise CheckpointError(f"model.wrapper.options.configuration_file: {file} is not there")
        written = read_mapping(file, CheckpointError)
        _check(model, written, str(file))
    _check(model, options.configuration, "model.wrapper.options.configuration")
    overrides = {**written, **options.configuration}
    size = overrides.get("vocab_size")
    if size is not None and (not isinstance(size, int) or size < 1):
        raise CheckpointError(
            f"model.wrapper.options.configuration: vocab_size must be a number above 0 (got {size!r})"
        )
    return overrides


def _check(model: ModelDescription, overrides: dict[str, Any], place: str) -> None:
    if model.format == "megatron":
        check_overrides(overrides, place)
