"""Inputs with some bytes, or some values, changed at random."""

import contextlib
import json

ODD_NUMBERS = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
ODD_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3.5,
    10**30,
    -(10**30),
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
    {"": None},
    [None],
    "9" * 5000,
)


def mutated(data, chance):
    """The data with a few bytes, or stretches, changed."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data)) if data else 0
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and data:
            data[at] = chance.choice(ODD_NUMBERS) & 0xFF
        elif kind == 2:
            width = chance.choice((2, 4, 8))
            data[at : at + width] = (chance.choice(ODD_NUMBERS) * chance.choice((1, 1 << 32))).to_bytes(8, "little")[
                :width
            ]
        elif kind == 3:
            del data[at : at + chance.choice((1, 2, 8, 100))]
        elif kind == 4:
            end = at + chance.choice((1, 4, 16, 200))
            data[at:at] = data[at:end]
        else:
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
    return bytes(data)


def mutated_values(values, chance):
    """JSON data with some value, at any depth, exchanged for an odd one, dropped or doubled."""
    copied = json.loads(json.dumps(values))
    places = []

    def walk(value):
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(copied)
    for _ in range(chance.randrange(1, 4)):
        owner, key = chance.choice(places)
        with contextlib.suppress(KeyError, IndexError):  # where an earlier change has dropped it
            if chance.random() < 0.2:
                del owner[key]
            else:
                owner[key] = chance.choice(ODD_VALUES)
    return copied
