"""A Ray cluster of several nodes on this machine, and an environment that has ray."""

import os
import signal
import subprocess
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from support.serving import watched

PACKAGE = "ray==2.60.0"
#: Starts a cluster whose nodes have a CPU each, says where it is, and ends the last node for each line that it reads.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(int(sys.argv[1]) - 1)]
print(cluster.address, flush=True)
for _ in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("gone", flush=True)
cluster.shutdown()
"""


class Nodes:
    """A cluster that runs."""

    def __init__(self, process, mark):
        self._process = process
        self._mark = mark
        self.address = process.stdout.readline().strip()

    def end_one(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "gone\n"

    def kill_replicas(self, most=None):
        """End the processes of replicas, which are of this cluster alone, all or so many; return how many."""
        there = self._replicas()[:most]
        for number in there:
            os.kill(number, signal.SIGKILL)
        return len(there)

    def count_replicas(self):
        """How many processes of replicas there are."""
        return len(self._replicas())

    def _replicas(self):
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has just ended, or is somebody else's
                named = (process / "cmdline").read_bytes().startswith((b"ray::RayReplica", b"ray::EngineReplica"))
                if named and self._mark.encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
        return found


@contextmanager
def nodes(environment, count):
    command, mark = [environment.python, "-c", CLUSTER, str(count)], uuid.uuid4().hex
    variables = {**os.environ, "OF_CLUSTER": mark}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
    try:
        yield Nodes(process, mark)
    finally:
        process.communicate(timeout=120)


@contextmanager
def served_on(cluster, environment, spec, *arguments, wait=True):
    """A server over replicas on a cluster, when it has said where it is."""
    command = [environment.python, "-m", "plugtron", "serve", spec, "--ray", "--port", "0", *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": cluster.address}
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=variables)
    with watched(process, process.stderr, wait=wait) as running:
        yield running
