"""llama.cpp's own server, of the wheel xllamacpp: python xllamacpp_side.py FILE SLOTS LENGTH THREADS DRAFTS KV.

Prints its address and versions as a line of JSON, and serves until standard input ends.
"""

# What this file imports is in the peer's own environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version

import xllamacpp


def main() -> None:
    """Serve."""
    file, drafts, kv = sys.argv[1], *sys.argv[5:]
    slots, length, threads = map(int, sys.argv[2:5])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_parallel, params.n_ctx = slots, slots * length
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    name = f"COMMON_SPECULATIVE_TYPE_{drafts.upper().replace('-', '_')}"
    params.speculative.types = [getattr(xllamacpp.common_speculative_type, name)]
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kv.upper()}")
    # As on the other side: no prompt is computed from another's.
    params.cache_prompt, params.cache_ram_mib = False, 0
    params.hostnames, params.port, params.ui = ["127.0.0.1"], 0, False
    server = xllamacpp.Server(params)
    ready = {"url": server.listening_address, "versions": {"xllamacpp": version("xllamacpp")}}
    print(json.dumps(ready), file=answers, flush=True)
    sys.stdin.read()
    os._exit(0)  # its destructor waits for connections that are kept alive


if __name__ == "__main__":
    main()
