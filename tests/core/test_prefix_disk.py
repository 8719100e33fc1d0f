"""The files of prefixes on disk: nothing is served but what was written, whoever writes, is killed or has no room."""

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support import prefix_writer
from support.prefix_writer import KEYS, SIZE, block, disk

from plugtron.cli.cache import cache
from plugtron.context import PrefixDisk
from plugtron.context.prefix_folder import kept_prefixes
from plugtron.contracts import KVOrigin


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUGTRON_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prefixes"


def served(store):
    """The numbers of the blocks that a store has, all of which are as they were written."""
    found = {number: store.read(key) for number, key in enumerate(KEYS)}
    assert all(torch.equal(found[number], block(number)) for number in found if found[number] is not None)
    return [number for number in found if found[number] is not None]


def damage(path, kind):
    data = path.read_bytes()
    if kind == "cut":
        path.write_bytes(data[:-1])
    elif kind == "longer":
        path.write_bytes(data + b"\0")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "another's":
        path.write_bytes(disk()._path(KEYS[1]).read_bytes())
    elif kind == "another model's":
        other = disk("two")
        other.write(KEYS[0], block(0))
        path.write_bytes(other._path(KEYS[0]).read_bytes())
    elif kind == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif kind == "link":
        path.rename(path.with_suffix(".elsewhere"))
        path.symlink_to(path.with_suffix(".elsewhere"))
    elif kind == "writable":
        path.chmod(0o666)
    else:
        path.write_bytes(data[:kind] + bytes([data[kind] ^ 4]) + data[kind + 1 :])


@pytest.mark.parametrize(
    "kind",
    ["cut", "longer", "empty", "another's", "another model's", "pipe", "link", "writable", 3, 300, 900, -1],
    ids=str,
)  # fmt: skip
def test_what_is_not_as_it_was_written(kind):
    store = disk()
    for number in range(2):
        store.write(KEYS[number], block(number))
    damage(store._path(KEYS[0]), kind)
    with pytest.warns(UserWarning, match="is not used: "):
        assert store.read(KEYS[0]) is None
    assert not store.has(KEYS[0])
    store.write(KEYS[0], block(0))
    assert served(store) == [0, 1]
    assert served(disk("two")) in ([], [0])


def test_the_least_recently_used_go_first(folder):
    store = disk(most=100 * (SIZE + 300))
    for number, key in enumerate(KEYS):
        store.write(key, block(number))
        os.utime(store._path(key), (number, number))
        store.use(KEYS[0])
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 100 * (SIZE + 300)
    kept = served(store)
    assert kept[0] == 0
    assert kept[1:] == list(range(len(KEYS) - len(kept) + 1, len(KEYS)))
    assert len(kept) > 70


def test_what_killed_writers_left_behind_goes(folder):
    store = disk()
    for name, age in (("old", 10_000), ("new", 1)):
        (folder / f"{name}.unfinished").write_bytes(b"x")
        os.utime(folder / f"{name}.unfinished", (time.time() - age,) * 2)
    store.write(KEYS[0], block(0))
    assert sorted(file.name for file in folder.glob("*.unfinished")) == ["new.unfinished"]


@contextmanager
def no_file_over(size):
    """What a full disk is to a writer: an error in the middle of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(folder):
    size = 2**20
    store = PrefixDisk(KVOrigin(model=Path("/m"), digest="x" * 64), size=size, most=2**30)
    store.write(KEYS[0], block(0, size))
    with no_file_over(size // 2), pytest.warns(UserWarning, match="no more prefixes are written to .*: File too large"):
        store.write(KEYS[1], block(1, size))
    store.write(KEYS[2], block(2, size))
    assert [file.suffix for file in folder.iterdir()] == [".block"]
    assert torch.equal(store.read(KEYS[0]), block(0, size))


#: Bytes of some 150 blocks.
BOUND = 150 * 1300


def test_two_writers_at_once_that_are_killed(folder):
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", prefix_writer.__file__, str(BOUND)],
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "begun\n"
    for _ in range(20):
        time.sleep(0.02)
        assert all(writer.poll() is None for writer in writers)
        assert sum(_size(file) for file in folder.iterdir()) <= BOUND
        assert served(disk())
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert served(disk())


def _size(file):
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def test_plugtron_cache_shows_and_clears_them(folder):
    for name, count in (("one", 3), ("two", 1)):
        store = disk(name)
        for number in range(count):
            store.write(KEYS[number], block(number))
    (folder / "strange-x.block").write_bytes(b"nothing of ours")
    assert {(kept.model, kept.blocks) for kept in kept_prefixes()} == {("/models/one", 3), ("/models/two", 1), ("", 1)}
    shown = CliRunner().invoke(cache, ["list"])
    assert shown.exit_code == 0, shown.output
    assert f"prefixes: {folder}\n" in shown.output
    assert "/models/one, 3 blocks" in shown.output
    assert "not readable, 1 blocks" in shown.output
    assert CliRunner().invoke(cache, ["clear"]).exit_code == 0
    assert not folder.exists()
