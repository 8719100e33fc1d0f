"""Pickles are looked up in a closed table: what they name is recorded or refused, never imported, never run."""

import sys
from pathlib import Path

import pytest

from plugtron.checkpoint.megatron.reader import MegatronReader
from plugtron.errors import CheckpointError
from plugtron.formats.inert_pickle import read_pickle

LEGACY = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned_legacy"


@pytest.mark.parametrize(
    "hostile",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"csubprocess\nPopen\n(S'true'\ntR.",
        b"ctorch\nload\n(S'x'\ntR.",
        b"cbuiltins\ngetattr\n(S'x'\nS'y'\ntR.",
        b"ctorch.serialization\nload\n(S'x'\ntR.",
        b"cplugtron.checkpoint.inert_pickle\nread_pickle\n(S'x'\nS'y'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    ],
)
def test_names_outside_the_table_are_refused(hostile):
    with pytest.raises(CheckpointError, match=r"x\.pt: its pickle names .*; nothing of it has been run"):
        read_pickle(hostile, Path("x.pt"))


@pytest.mark.parametrize("broken", [b"", b"no pickle", b"\x80\x04", b"(S'1'\n", b"cargparse\nNamespace\n(tR(dS'x'\nb"])
def test_broken_pickles(broken):
    with pytest.raises(CheckpointError, match=r"x\.pt: its pickle is broken"):
        read_pickle(broken, Path("x.pt"))


@pytest.mark.parametrize(
    "hostile",
    [
        # state for a function of the table, which would outlive this pickle
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}(U\x0c__defaults__K\x01\x85u\x86b.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}(U\x08__dict__K\x01ub.",
        # a type that is none, for a storage that is none
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v3\n(NK\x00)))U\x09_inductortR.",
        b"cbuiltins\nset\n}(U\x03addK\x01ub.",
    ],
)
def test_state_for_what_is_not_a_record_is_refused(hostile):
    with pytest.raises(CheckpointError, match=r"x\.pt: its pickle is broken"):
        read_pickle(hostile, Path("x.pt"))
    # The next file is read as if nothing had been tried.
    assert MegatronReader(LEGACY).tensors


def test_megatrons_own_classes_stay_records():
    """Saved arguments are full of enums of packages that are not installed here."""
    data = b"\x80\x02cmegatron.core.transformer.enums\nAttnBackend\nq\x00K\x05\x85q\x01Rq\x02."
    record = read_pickle(data, Path("x.pt"))
    assert (record.origin, record.arguments) == ("megatron.core.transformer.enums.AttnBackend", (5,))
    assert "megatron" not in sys.modules
