"""Make llama.cpp's other forms of a file: python llama_files.py SOURCE FOLDER; prints nothing, writes FORM.gguf."""

# What this file imports is in the peer's own environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from pathlib import Path

import llama_cpp

#: llama.cpp's numbers of file types.
FORMS = {"F32": 0, "BF16": 32, "Q8_0": 7}


def main() -> None:
    """Write what is not there yet."""
    source, folder = sys.argv[1], Path(sys.argv[2])
    for form, number in FORMS.items():
        target = folder / f"{form}.gguf"
        if target.exists():
            continue
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.nthread, params.allow_requantize = number, 2, True
        if llama_cpp.llama_model_quantize(source.encode(), f"{target}.part".encode(), params):
            raise SystemExit(f"{form} cannot be made of {source}")
        Path(f"{target}.part").rename(target)


if __name__ == "__main__":
    main()
