"""A family of models on one page: the base of those that are no relatives of Llama."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plugtron import Options
from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.errors import CheckpointError, PluginError
from plugtron.execution import DecoderWrapper
from plugtron.nn import DecoderConfig
from plugtron_wrappers.huggingface.fields import DecoderFields, read_names, validated
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown
from plugtron_wrappers.huggingface.text_part import text_part, text_weights
from plugtron_wrappers.options import FamilyOptions

__all__ = ["Family"]


class Family(DecoderWrapper):
    """Says how a configuration is read, and where weights are stored; `decoder_class` says what is computed.

    Attributes:
        name: the component's.
        fields: the fields of config.json that are read.
        ignored: patterns (as of fnmatch) of tensors that follow from the configuration.
        seeing: architectures whose text part is of this family, and the fields of config.json on their other parts.
    """

    name: ClassVar[str]
    fields: ClassVar[type[DecoderFields]]
    ignored: ClassVar[tuple[str, ...]] = ("*.rotary_emb.inv_freq",)
    seeing: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init_subclass__(cls) -> None:
        """See that what is read of GGUF files is both their metadata and their weights.

        Raises:
            PluginError: it is one of the two.
        """
        super().__init_subclass__()
        reads = cls.configure_gguf.__func__ is not Family.configure_gguf.__func__
        names = cls.gguf_weights is not Family.gguf_weights
        if reads != names:
            there, missing = ("configure_gguf", "gguf_weights") if reads else ("gguf_weights", "configure_gguf")
            raise PluginError(f"{cls.__module__}.{cls.__qualname__} has {there} for GGUF files, and lacks {missing}")

    @classmethod
    @abstractmethod
    def configure(cls, fields: DecoderFields, file: str) -> DecoderConfig:
        """Translate config.json; `fields` is what `cls.fields` makes of it.

        Raises:
            CheckpointError: with `file`, and the field that is wrong.
        """

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate the metadata of a GGUF file.

        Raises:
            CheckpointError: as `configure`.
        """
        del checkpoint
        raise CheckpointError(f"{model.path}: GGUF files of {model.architecture} are not implemented")

    @abstractmethod
    def weights(self) -> Iterator[Weight]:
        """Where the parameters stand in Hugging Face folders."""

    def gguf_weights(self) -> WeightMap:
        """Where they stand in GGUF files."""
        raise PluginError(f"{type(self).__qualname__} has no gguf_weights")

    @classmethod
    def describe(cls, model: ModelDescription, checkpoint: CheckpointReader, options: Options) -> DecoderConfig:
        """Translate a model's own configuration."""
        if model.format == "gguf":
            return cls.configure_gguf(model, checkpoint)
        if model.architecture in cls.seeing:
            model = text_part(model, others=cls.seeing[model.architecture], wrapper=cls.name)
        return cls.configure(*cls.read(model, options))

    @classmethod
    def read(cls, model: ModelDescription, options: Options) -> tuple[Any, str]:
        """Return the fields of config.json, and the name of the file for messages.

        Raises:
            CheckpointError: a field is wrong, or asks for what is not implemented.
        """
        file = str(model.path / "config.json")
        ignored = options.ignore_fields if isinstance(options, FamilyOptions) else ()
        refuse_unknown(model, {*read_names(cls.fields), *ignored}, file, wrapper=cls.name)
        return validated(cls.fields, dict(model.configuration), file), file

    def weight_map(self, format: str) -> WeightMap:  # noqa: A002 - the contract's word for it
        """Say where the parameters stand."""
        if format == "gguf":
            return self.gguf_weights()
        # A tied head may be stored once more.
        again = ("lm_head.weight",) if self.config.tied else ()
        own = WeightMap(weights=tuple(self.weights()), ignored=(*self.ignored, *again))
        return own if self.model.architecture not in self.seeing else text_weights(own, self.checkpoint.tensors)
