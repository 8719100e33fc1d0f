"""One side of the GPU benchmark in a process of its own: python gpu_side.py SHAPE VARIANT DEVICE REFERENCE ROWS...

Writes lines of JSON, each a part of the side's record: "ready" once the first token is there, then what is measured.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from gpu_cases import SIZES, VARIANTS


def main() -> None:
    """Load, say so, measure."""
    # Whatever the libraries print goes to standard error; the record has a channel of its own.
    record = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    shape, name, device, reference, *rows = sys.argv[1:]
    variant, sizes = VARIANTS[name], replace(SIZES[device], rows=tuple(map(int, rows)))
    if variant.slow:
        sizes = replace(sizes, rows=sizes.rows[-2:], repetitions=1)
    # Imported here: each side has what it needs, and how long that takes is part of its start.
    if variant.kind in ("graph", "eager"):
        from gpu_plugtron import PlugtronSide

        side = PlugtronSide(shape, variant, device, sizes, Path(reference))
    else:
        from gpu_transformers import TransformersSide

        side = TransformersSide(shape, variant, device, sizes)
    side.run([[1, 2, 3]], 1)
    _write(record, {"ready": True})
    _write(record, side.facts())
    for what, measure in side.measures():
        try:
            found = measure()
        except Exception as error:  # a batch that does not fit leaves the rest to be measured
            found = {"errors": {what: f"{type(error).__name__}: {error}"}}
        _write(record, found)


def _write(record: TextIO, found: Mapping[str, object]) -> None:
    print(json.dumps(found), file=record, flush=True)


if __name__ == "__main__":
    main()
