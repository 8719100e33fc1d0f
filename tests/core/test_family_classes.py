"""What a family's class lacks is said by name: when it is written, or when it is first asked."""

import pytest

from plugtron.errors import PluginError
from plugtron.execution import DecoderWrapper
from plugtron_wrappers.huggingface.family import Family


@pytest.mark.parametrize(("there", "missing"), [("configure_gguf", "gguf_weights"), ("gguf_weights", "configure_gguf")])
def test_half_of_what_gguf_files_need(there, missing):
    own = classmethod(lambda cls, model, checkpoint: None) if there == "configure_gguf" else lambda self: None
    with pytest.raises(PluginError, match=rf"Half has {there} for GGUF files, and lacks {missing}"):
        type("Half", (Family,), {there: own})


def test_a_wrapper_that_describes_nothing():
    bare = type("Bare", (DecoderWrapper,), {})
    with pytest.raises(PluginError, match=r"Bare lacks `describe`, which reads a model's configuration"):
        bare.describe(None, None, None)
