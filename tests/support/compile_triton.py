"""Compile the Triton kernels for GPUs that need not be there: python compile_triton.py COMPUTE_CAPABILITY.

Prints the shared memory that each kernel takes, as JSON. Runs in a process of its own, because Triton's interpreter,
which the other tests use, takes the place of its compiler.
"""

import json
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from plugtron.kernels.triton import (
    activations,
    chunk_attention,
    decode_attention,
    draw,
    expert_linear,
    float8_rows,
    most_likely,
    norms,
    rotary,
    row_linear,
    tile_linear,
)
from plugtron.kernels.triton.launch import FUSED

#: What is no pointer to the dtype under test, by name; everything else that is no constant is one.
TYPES = {
    "width": "i32", "epsilon": "fp32", "offset": "fp32", "cap": "fp32", "slopes": "*fp32",
    "block_size": "i32", "scale": "fp32", "table_width": "i32", "stretches": "i32",
    "rows": "i32", "inputs": "i32", "outputs": "i32", "tables": "*i64", "lengths": "*i64", "blocks": "*i64",
    "positions": "*i64", "tiles": "*i64",
    "offsets": "*i64", "count": "i32", "score_stride": "i32", "id_stride": "i32",
    "parts": "*fp32", "peaks": "*fp32", "sums": "*fp32", "scales": "*fp16", "minimums": "*fp16",
}  # fmt: skip
#: What the values of a weight are, by the form in which it is held.
HELD = {"int4": "*i32", "int8": "*u8", "mxfp4": "*i32", "fp8": "*fp8e4nv", "plain": "*bf16"}


def compiled(kernel, dtype, types=None, options=None, **constants):
    """Compile for tensors of a dtype; return the bytes of shared memory."""
    named = {**TYPES, **(types or {})}
    signature = {name: "constexpr" if name in constants else named.get(name, f"*{dtype}") for name in kernel.arg_names}
    options = {**FUSED, **(options or {})}
    # Tensors begin at multiples of 16 bytes, and widths are multiples of 16: loads then are wide, and come in stages.
    wide = {(at,): [["tt.divisibility", 16]] for at, name in enumerate(kernel.arg_names)
            if signature[name].startswith("*") or name in ("width", "inputs", "outputs", "count")}  # fmt: skip
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=wide)
    return triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options=options).metadata.shared


def main():
    """Compile all of them, in the forms that models ask for."""
    found = {
        "norm": compiled(norms._add_and_normalize, "bf16", ADD=True, CENTER=True, WEIGHT=True, BIAS=True, BLOCK=4096),
        "rotary fp8": compiled(
            rotary._rotate_and_write, "bf16", {"keys": "*fp8e4nv", "values": "*fp8e4nv"},
            HEADS=32, KV_HEADS=8, DIM=128, WIDTH=128, NORM=False, INTERLEAVED=True, GROWS=True, BLOCK=128,
        ),
        "rotary": compiled(
            rotary._rotate_and_write, "bf16", HEADS=32, KV_HEADS=8, DIM=80, WIDTH=40, NORM=True, INTERLEAVED=False,
            GROWS=False, BLOCK=128,
        ),
        "together": compiled(
            decode_attention._together, "bf16", WINDOW=1000, CHUNK=500, SINKS=True, DIM=80, CHANNELS=128, STRETCH=256
        ),
    }  # fmt: skip
    for function in (0, 1, 5):
        found[f"activation {function}"] = compiled(
            activations._activate, "bf16", FUNCTION=function, GATED=True, BLOCK=1024
        )
    shapes = (("bf16", 2, 64, 1000), ("bf16", 2, 256, 0), ("fp32", 4, 128, 0), ("fp32", 4, 256, 0), ("fp8", 2, 128, 0))
    for form, size, dim, window in shapes:
        # Memory in fp8 is beside queries in bfloat16.
        dtype, types = form, {}
        if form == "fp8":
            dtype, types = "bf16", {"keys": "*fp8e4nv", "values": "*fp8e4nv"}
        found[f"attention {dim} {form}"] = compiled(
            decode_attention._stretches, dtype, types, {"num_warps": 4, "num_stages": 2},
            WINDOW=window, CHUNK=0, CAPPED=window > 0, SLOPED=window > 0, KV_HEADS=8, GROUP=4,
            DIM=dim, QUERIES=16, CHANNELS=dim, STRETCH=256,
            AT_ONCE=decode_attention.at_once(dim * size),
        )  # fmt: skip
        found[f"chunk {dim} {form}"] = compiled(
            chunk_attention._tiles, dtype, types, {"num_warps": 4, "num_stages": 2},
            WINDOW=window, CHUNK=window, CAPPED=window > 0, SLOPED=window > 0, SINKS=window > 0, KV_HEADS=8, GROUP=3,
            TOGETHER=4, DIM=dim, CHANNELS=dim,
            QUERIES=4 * chunk_attention.tile_tokens(3, dim * size), AT_ONCE=decode_attention.at_once(dim * size),
        )  # fmt: skip
    for form, held in HELD.items():
        scales = {"fp8": "*fp32", "mxfp4": "*u8"}.get(form, "*fp16")
        types = {"values": held, "scales": scales}
        constants = {"FORMAT": form, "MINIMUM": form == "int4", "GROUP": 32}
        for dtype, size in (("bf16", 2), ("fp16", 2), ("fp32", 4)):
            own = {**types, "values": f"*{dtype}"} if form == "plain" else types
            if dtype == "bf16" or form == "plain":
                found[f"experts {form} {dtype}"] = compiled(
                    expert_linear._expert_linear, dtype, {**own, "rows": "*i64"}, expert_linear.OPTIONS,
                    GATHERS=True, BIAS=True, ROWS=expert_linear.ROWS, OUTPUTS=expert_linear.OUTPUTS,
                    INPUTS=expert_linear.INPUTS, **constants,
                )  # fmt: skip
            for rows in (16, 64) if form != "plain" else (64,):  # which is for sums in order, in tiles of one shape
                options = tile_linear.tile_options(rows, size)
                found[f"tiles {form} {dtype} {rows}"] = compiled(
                    tile_linear._tile_linear, dtype, own, options,
                    BIAS=True, ROWS=rows, OUTPUTS=64, INPUTS=options.pop("INPUTS"), **constants,
                )  # fmt: skip
        if form != "plain":
            found[f"dense {form}"] = compiled(
                tile_linear._dense, "bf16", types, OUTPUTS=32, INPUTS=tile_linear.INPUTS, **constants
            )
        if form not in ("plain", "mxfp4"):
            found[f"row {form}"] = compiled(
                row_linear._row_linear, "bf16", types, row_linear.OPTIONS,
                BIAS=True, OUTPUTS=row_linear.OUTPUTS, WIDTH=row_linear.BYTES // (4 if form == "int4" else 1),
                **constants,
            )  # fmt: skip
    found["rows to fp8"] = compiled(
        float8_rows._round, "bf16", {"rounded": "*fp8e4nv", "scales": "*fp32"}, LARGEST=448.0, BLOCK=16384
    )
    for by_probability in (False, True):
        for piece in (most_likely.LEAST, most_likely.PIECE):
            found[f"most likely {by_probability} {piece}"] = compiled(
                most_likely._keep, "fp32", options={"num_warps": most_likely.WARPS},
                PROBABILITY=by_probability, PIECE=piece,
            )  # fmt: skip
    for ids in (False, True):
        found[f"draw {ids}"] = compiled(
            draw._draw, "fp32", {"ids": "*i64", "seeds": "*i64", "greedy": "*i1", "chosen": "*i64", "pieces": "i32"},
            {"num_warps": 8}, IDS=ids, PIECE=draw.PIECE,
        )  # fmt: skip
    found["choose"] = compiled(
        draw._choose, "fp32", {"chosen": "*i64", "tokens": "*i64", "pieces": "i32"}, {"num_warps": 1}, PIECES=64
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
