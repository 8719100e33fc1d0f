"""Blocks of prefixes without a model, and a program that writes them until it is ended: prefix_writer.py BOUND."""

import sys
from pathlib import Path

import torch

from plugtron.context import PrefixDisk
from plugtron.contracts import KVOrigin

SIZE = 1000
KEYS = [bytes([number]) * 32 for number in range(200)]


def disk(name="one", most=10**7):
    return PrefixDisk(KVOrigin(model=Path("/models") / name, digest=name * 20), size=SIZE, most=most)


def block(number, size=SIZE):
    return torch.arange(size).mul(number + 1).remainder(251).to(torch.uint8)


def write_on(bound):
    store = disk(most=bound)
    print("begun", flush=True)
    while True:
        for number, key in enumerate(KEYS):
            store.write(key, block(number))
            store.read(key)


if __name__ == "__main__":
    write_on(int(sys.argv[1]))
