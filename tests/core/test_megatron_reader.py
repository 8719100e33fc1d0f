"""Megatron's files when they are hostile, broken or incomplete; and what the arguments say or leave out."""

import argparse
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from support.commands import plugtron

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.megatron.reader import MegatronReader
from plugtron.errors import PlugtronError
from plugtron.formats.inert_pickle import read_pickle

CHECKPOINTS = Path(__file__).parents[1] / "data" / "megatron"
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
DIST = "iter_0000007"
LEGACY = f"{DIST}/mp_rank_00/model_optim_rng.pt"


class Trap:
    """Unpickled by the usual means, it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def copy(tmp_path):
    """A function from a checkpoint's name to a copy of it that may be changed."""

    def make(name):
        folder = tmp_path / name
        shutil.copytree(CHECKPOINTS / name, folder)
        return folder

    return make


def refusal(folder, **arguments):
    with pytest.raises(PlugtronError) as caught:
        LLM(folder, dtype="float32", **arguments).close()
    return str(caught.value)


def generated(folder, **arguments):
    expected = json.loads((folder / "reference.json").read_text())["reference"]
    with LLM(folder, dtype="float32", **arguments) as llm:
        found = llm.generate([entry["prompt_tokens"] for entry in expected], GREEDY)
    return [request.tokens for request in found] == [entry["greedy_tokens"] for entry in expected]


def save_legacy(folder, change):
    file = folder / LEGACY
    saved = torch.load(file, weights_only=False)
    change(saved)
    torch.save(saved, file)


def test_a_trap_in_common_pt(copy, tmp_path):
    folder, mark = copy("gpt_learned"), tmp_path / "sprung"
    torch.save({"args": argparse.Namespace(num_layers=3), "more": Trap(mark)}, folder / DIST / "common.pt")
    text = refusal(folder)
    assert "common.pt: its pickle names posix.system" in text
    assert not mark.exists()


def test_a_trap_in_metadata(copy, tmp_path):
    folder, mark = copy("gpt_learned"), tmp_path / "sprung"
    (folder / DIST / ".metadata").write_bytes(pickle.dumps(Trap(mark)))
    assert ".metadata: its pickle names posix.system" in refusal(folder)
    assert not mark.exists()


@pytest.mark.parametrize("key", ["optimizer", "args", "model"])
def test_a_trap_in_a_legacy_file(key, copy, tmp_path):
    folder, mark = copy("gpt_learned_legacy"), tmp_path / "sprung"
    save_legacy(folder, lambda saved: saved.__setitem__(key, Trap(mark)))
    assert "model_optim_rng.pt: its pickle names posix.system" in refusal(folder)
    assert not mark.exists()


def test_a_trap_in_an_extra_state_is_never_read(copy, tmp_path):
    """In legacy files they are bytes in the pickle, in distributed ones a region of a file that nobody looks at."""
    mark = tmp_path / "sprung"
    folder = copy("te_names_legacy")
    state = io.BytesIO(pickle.dumps(Trap(mark)))
    save_legacy(folder, lambda saved: saved["model"].__setitem__("decoder.layers.0.mlp.linear_fc1._extra_state", state))
    assert generated(folder)
    folder = copy("gpt_learned")
    regions = read_pickle((folder / DIST / ".metadata").read_bytes(), folder).get("storage_data")
    index, place = next((index, place) for index, place in regions.items() if "_extra_state" in index.get("fqn"))
    assert index.get("offset") is None
    with (folder / DIST / place.get("relative_path")).open("r+b") as file:
        file.seek(place.get("offset"))
        file.write(pickle.dumps(Trap(mark)).ljust(place.get("length"), b"\0"))
    assert generated(folder)
    assert not mark.exists()


def test_a_trap_in_place_of_a_tensor(copy, tmp_path):
    folder, mark = copy("gpt_learned"), tmp_path / "sprung"
    regions = read_pickle((folder / DIST / ".metadata").read_bytes(), folder).get("storage_data")
    name = "embedding.position_embeddings.weight"
    place = next(place for index, place in regions.items() if index.get("fqn") == name)
    buffer = io.BytesIO()
    torch.save(Trap(mark), buffer)
    with (folder / DIST / place.get("relative_path")).open("r+b") as file:
        file.seek(place.get("offset"))
        file.write(in_zip_of_size(buffer.getvalue(), place.get("length")))
    text = refusal(folder)
    assert f"tensor {name}: " in text
    assert "its pickle names posix.system" in text
    assert not mark.exists()


def in_zip_of_size(archive, size):
    """The same archive with a comment that fills it up."""
    end = archive.rindex(b"PK\x05\x06")
    padding = size - len(archive)
    return archive[: end + 20] + struct.pack("<H", padding) + b" " * padding


def test_a_compressed_pickle_is_refused(copy):
    """It might be a few bytes that become gigabytes."""
    folder = copy("gpt_learned_legacy")
    with zipfile.ZipFile(folder / LEGACY, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"\0" * 10_000_000)
    assert "has compressed members" in refusal(folder)


def test_weights_that_are_no_floats(copy):
    folder = copy("gpt_learned_legacy")
    name = "decoder.layers.1.mlp.linear_fc2.weight"
    save_legacy(folder, lambda saved: saved["model"].__setitem__(name, saved["model"][name].to(torch.int8)))
    assert f"tensor {name} in" in refusal(folder)
    assert "is of type int8 (accepted: float32, bfloat16, float16, float64)" in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["model"].__setitem__(7, torch.zeros(2)),
        lambda saved: saved["model"].__setitem__("embedding.word_embeddings.weight", torch.tensor(1.0)),
        lambda saved: saved.__setitem__("model", {}),
        lambda saved: saved.__setitem__("model", []),
        lambda saved: setattr(saved["args"], "pipeline_model_parallel_size", "x"),
        lambda saved: setattr(saved["args"], "tensor_model_parallel_size", 10**13),
        lambda saved: setattr(saved["args"], "tokenizer_model", "~nobody-of-that-name/x" + "y" * 5000),
        lambda saved: setattr(saved["args"], "tokenizer_type", ["NullTokenizer"]),
        lambda saved: saved["args"].__dict__.__setitem__("endless", [saved["args"].__dict__]),
    ],
)
def test_odd_contents_are_read_or_refused(change, copy):
    """Whatever stands where something else belongs: an error of plugtron's, or none."""
    folder = copy("gpt_learned_legacy")
    save_legacy(folder, change)
    try:
        LLM(folder, dtype="float32").close()
    except PlugtronError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
@pytest.mark.parametrize("name", ["gpt_saved_tp2", "gpt_saved_tp2_legacy"])
def test_a_shard_file_that_is_missing_or_truncated(name, damage, copy):
    folder = copy(name)
    file = folder / DIST / ("mp_rank_01/model_optim_rng.pt" if "legacy" in name else "__1_0.distcp")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    text = refusal(folder)
    assert str(file) in text or (damage == "missing" and str(file.parent) in text)
    assert "tensor embedding.word_embeddings.weight" in text or "legacy" not in name
    assert "tensor " in text


def test_a_rank_of_a_legacy_checkpoint_that_is_missing(copy):
    folder = copy("gpt_saved_tp2_legacy")
    shutil.rmtree(folder / DIST / "mp_rank_01")
    text = refusal(folder)
    assert "lacks the file of tensor rank 1, pipeline stage 0, expert rank 0" in text
    assert "tensor embedding.word_embeddings.weight and its like have a hole" in text


def test_a_tensor_of_the_wrong_shape(copy):
    folder = copy("gpt_learned_legacy")
    name = "decoder.layers.1.mlp.linear_fc2.weight"
    save_legacy(folder, lambda saved: saved["model"].__setitem__(name, torch.zeros(64, 127)))
    expected = f"tensor {name} in model_optim_rng.pt has shape [64, 127], expected [64, 128]"
    assert expected in refusal(folder)


def test_tensors_that_are_missing_or_too_many(copy):
    folder = copy("gpt_learned_legacy")

    def change(saved):
        del saved["model"]["decoder.layers.2.mlp.linear_fc2.bias"]
        saved["model"]["decoder.layers.0.self_attention.rotary.weight"] = torch.zeros(2)

    save_legacy(folder, change)
    text = refusal(folder)
    assert "tensor decoder.layers.2.mlp.linear_fc2.bias is missing" in text
    assert "tensor decoder.layers.0.self_attention.rotary.weight in model_optim_rng.pt has no place" in text


@pytest.mark.parametrize("parallel", [{"tensor": 2}, {"pipeline": 2}], ids=str)
def test_all_ranks_leave_when_one_finds_damage(parallel, copy, tmp_path):
    """The chunk that is damaged belongs to one rank alone, which finds it while it loads."""
    folder = copy("gpt_saved_tp2")
    regions = read_pickle((folder / DIST / ".metadata").read_bytes(), folder).get("storage_data")
    name = "output_layer.weight"
    place = next(p for i, p in regions.items() if i.get("fqn") == name and tuple(i.get("offset")) == (160, 0))
    with (folder / DIST / place.get("relative_path")).open("r+b") as file:
        file.seek(place.get("offset"))
        file.write(b"\0" * place.get("length"))
    spec = tmp_path / "spec.yaml"
    values = {"model": {"checkpoint": str(folder)}, "parallel": parallel, "prompts": [[1, 2]]}
    spec.write_text(yaml.safe_dump(values))
    done = plugtron("run", spec, check=1)
    assert done.stderr.count(f"tensor {name}: ") == 1
    assert place.get("relative_path") in done.stderr
    assert "Traceback" not in done.stderr


def test_which_iteration(copy):
    folder = copy("gpt_learned")
    other = folder / "iter_0000012"
    shutil.copytree(folder / DIST, other)
    (other / "__0_0.distcp").unlink()
    assert generated(folder)  # the latest is 7
    assert "__0_0.distcp is not there" in refusal(other)
    latest = folder / "latest_checkpointed_iteration.txt"
    latest.write_text("12")
    assert "__0_0.distcp is not there" in refusal(folder)
    latest.write_text("99")
    assert "names iter_0000099, which is not there (there are: iter_0000007, iter_0000012)" in refusal(folder)
    latest.write_text("soon")
    assert "'soon' is neither a number nor 'release'" in refusal(folder)
    (folder / DIST).rename(folder / "release")
    latest.write_text("release\n")
    assert generated(folder)


def test_folders_that_are_incomplete_or_in_another_format(copy):
    folder = copy("gpt_learned")
    (folder / DIST / "metadata.json").write_text('{"sharded_backend": "zarr"}')
    convert = "is not read; in Megatron, load it and add --ckpt-convert-format torch_dist --ckpt-convert-save FOLDER"
    assert f"sharded_backend 'zarr' {convert}" in refusal(folder)
    (folder / DIST / "metadata.json").write_text('{"sharded_backend": "torch_dist"}')
    (folder / DIST / "common.pt").unlink()
    assert "lacks common.pt" in refusal(folder)
    (folder / DIST / "metadata.json").unlink()
    for path in (folder, folder / DIST):  # what FSDP and torch.distributed.checkpoint leave
        assert "is a plain checkpoint of torch.distributed.checkpoint" in refusal(path)
    (folder / DIST / "decoder.weight").mkdir()
    (folder / DIST / "decoder.weight" / ".zarray").touch()
    assert f"saved as zarr, which {convert}" in refusal(folder / DIST)
    (folder / DIST / "decoder.weight" / ".zarray").unlink()
    (folder / DIST / ".metadata").unlink()
    assert "no checkpoint of Megatron's" in refusal(folder)


def test_arguments_that_are_missing_can_be_given(copy, tmp_path):
    folder = copy("gpt_learned")
    saved = torch.load(folder / DIST / "common.pt", weights_only=False)
    arguments = vars(saved.pop("args"))
    torch.save(saved, folder / DIST / "common.pt")
    text = refusal(folder)
    assert "lack num_layers, hidden_size, num_attention_heads, max_position_embeddings" in text
    assert "model.wrapper: {name: gpt, options: {configuration: {num_layers: ...}}}" in text
    names = ("num_layers", "hidden_size", "num_attention_heads", "num_query_groups", "max_position_embeddings")
    described = {name: arguments[name] for name in (*names, "ffn_hidden_size")}
    assert generated(folder, overrides={"model.wrapper": {"name": "gpt", "options": {"configuration": described}}})
    file = tmp_path / "model.json"
    file.write_text(json.dumps(described))
    options = {"configuration_file": str(file)}
    assert generated(folder, overrides={"model.wrapper": {"name": "gpt", "options": options}})
    file.write_text(json.dumps({**described, "nun_layers": 3}))
    text = refusal(folder, overrides={"model.wrapper": {"name": "gpt", "options": options}})
    assert "nun_layers does not describe a model. Did you mean 'num_layers'?" in text


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"multi_latent_attention": True}, "multi_latent_attention (= True) is not implemented"),
        (
            {"attention_output_gate": True, "head_wise_attn_gate": True},
            "head_wise_attn_gate (= True) is not implemented",
        ),
        ({"use_mup": True}, "use_mup (= True) is not implemented"),
        ({"softmax_type": "learnable"}, "core_attention.softmax_offset is missing"),
        ({"softmax_type": "sink"}, "softmax_type must be 'vanilla', 'off-by-one' or 'learnable'"),
        (
            {"position_embedding_type": "relative"},
            "position_embedding_type must be 'learned_absolute', 'rope', 'yarn' or 'none'",
        ),
        (
            {"position_embedding_type": "yarn", "rotary_interleaved": True},
            "rotary_interleaved excludes position_embedding_type 'yarn'",
        ),
        (
            {"position_embedding_type": "rope", "use_rope_scaling": True, "rotary_seq_len_interpolation_factor": 2},
            "use_rope_scaling and rotary_seq_len_interpolation_factor exclude each other",
        ),
        (
            {"swiglu": True, "activation_func_clamp_value": 7.0},
            "activation_func_clamp_value (= 7.0) and glu_linear_offset (= 0.0) are implemented for experts alone",
        ),
        ({"hidden_size": 63}, "hidden_size 63 is no multiple of 8 heads"),
        ({"num_query_groups": 3}, "8 attention heads cannot share 3 query groups"),
        ({"swiglu": True, "squared_relu": True}, "swiglu and squared_relu exclude each other"),
        ({"num_layers": "many"}, "num_layers must be"),
        ({"num_experts": 4, "moe_layer_freq": [1]}, "moe_layer_freq has 1 entries for 3 layers"),
        ({"window_size": [4, 4]}, "window_size (= [4, 4]): looking ahead is not implemented"),
        ({"num_experts": 4, "moe_router_topk_limited_devices": 2}, "2 of 4 experts from 2 of 1 groups cannot be"),
        ({"num_experts": 4, "moe_layer_freq": 0}, "moe_layer_freq"),
        (
            {"position_embedding_type": "rope", "kv_channels": 9, "num_attention_heads": 8},
            "heads of 9 channels cannot be rotated in pairs",
        ),
        ({"ffn_hidden_size": 2**40}, "ffn_hidden_size must be less than"),
        ({"vocab_size": "all"}, "vocab_size must be a number above 0 (got 'all')"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_configurations_that_cannot_be(changes, complaint):
    overrides = {"model.wrapper": {"name": "gpt", "options": {"configuration": {"kv_channels": None, **changes}}}}
    assert complaint in refusal(CHECKPOINTS / "gpt_learned", overrides=overrides)


def test_zero_centerd_norms(copy):
    """apply_layernorm_1p: norms are saved less 1."""
    folder = copy("gpt_learned_legacy")
    (folder / "reference.json").write_text((CHECKPOINTS / "gpt_learned" / "reference.json").read_text())

    def change(saved):
        saved["args"].apply_layernorm_1p = True
        for name, tensor in saved["model"].items():
            if name.endswith("layernorm.weight"):
                tensor -= 1

    save_legacy(folder, change)
    assert generated(folder)


def test_padding_of_the_vocabulary_is_never_drawn():
    overrides = {"model.wrapper": {"name": "gpt", "options": {"configuration": {"vocab_size": 200}}}}
    hot = SamplingParams(temperature=50.0, seed=1, max_tokens=100, ignore_eos=True)
    with LLM(CHECKPOINTS / "gpt_learned", dtype="float32", overrides=overrides) as llm:
        drawn = llm.generate([[5, 6], [7]], hot)
        assert "no token of this model (0 to 199)" in llm.generate([200], hot).error
    assert max(token for request in drawn for token in request.tokens) < 200
    assert max(token for request in drawn for token in request.tokens) > 150


def test_describing_imports_no_torch():
    script = (
        "import sys; from pathlib import Path; from plugtron.checkpoint.megatron.reader import MegatronReader;"
        f"MegatronReader.describe(Path({str(CHECKPOINTS / 'gpt_learned')!r}));"
        f"MegatronReader.describe(Path({str(CHECKPOINTS / 'gpt_learned_legacy')!r}));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_parts_of_tensors_in_chunks():
    whole, parts = (MegatronReader(CHECKPOINTS / name) for name in ("gpt_saved_tp2", "gpt_saved_tp2_legacy"))
    for name in whole.tensors:
        tensor = whole.read(name)
        assert torch.equal(parts.read(name), tensor), name
        middle = tuple(slice(size // 3, size - size // 4) for size in tensor.shape)
        assert torch.equal(parts.read(name, middle), tensor[middle])
        assert torch.equal(whole.read(name, middle), tensor[middle])
