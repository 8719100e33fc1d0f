"""Memory that can be had: the machine's, or a container's."""

import pytest

from plugtron.utils.host_memory import HostMemory, host_memory

KIB, GIB = 2**10, 2**30


@pytest.fixture
def machine(tmp_path):
    """A machine of 24 GiB, all but one of which caches files."""
    (tmp_path / "proc").mkdir()
    lines = [f"MemTotal: {24 * GIB // KIB} kB", f"MemFree: {GIB // KIB} kB", f"MemAvailable: {20 * GIB // KIB} kB"]
    (tmp_path / "proc/meminfo").write_text("\n".join([*lines, "HugePages_Total: 0"]))
    (tmp_path / "sys/fs/cgroup/memory").mkdir(parents=True)
    return tmp_path


def test_what_caches_files_can_be_had(machine):
    assert host_memory(machine) == HostMemory(24 * GIB, 20 * GIB)


@pytest.mark.parametrize(
    ("limit", "used", "statistics"),
    [
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ],
)
def test_a_container_has_what_it_is_allowed(machine, limit, used, statistics):
    group = machine / "sys/fs/cgroup"
    (group / limit).write_text(f"{4 * GIB}\n")
    (group / used).write_text(f"{3 * GIB}\n")
    (group / statistics).write_text(f"anon {GIB}\nfile {2 * GIB}\ninactive_file {2 * GIB}\n")
    assert host_memory(machine) == HostMemory(4 * GIB, 3 * GIB)
    (group / used).write_text(f"{9 * GIB}\n")
    assert host_memory(machine).available == 0


@pytest.mark.parametrize("text", ["max\n", f"{2**63 - 4096}\n"])
def test_a_group_without_a_limit(machine, text):
    (machine / "sys/fs/cgroup/memory.max").write_text(text)
    assert host_memory(machine) == HostMemory(24 * GIB, 20 * GIB)


def test_here():
    here = host_memory()
    assert 0 < here.available <= here.total
