"""The Triton kernels against torch, one by one; in Triton's interpreter where there is no GPU."""

import os
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis.strategies import booleans, integers, sampled_from, tuples

from plugtron.contracts.attention import Scores
from plugtron.contracts.memory import Span
from plugtron.kernels.attention import attend_plainly
from plugtron.kernels.triton.activations import ACTIVATIONS, activate
from plugtron.kernels.triton.chunk_attention import chunk_attention, tile_tokens, tiles_of
from plugtron.kernels.triton.decode_attention import decode_attention
from plugtron.kernels.triton.device_weight import DeviceWeight
from plugtron.kernels.triton.expert_linear import ExpertRows
from plugtron.kernels.triton.expert_weights import ExpertWeights
from plugtron.kernels.triton.float8_rows import float8_rows
from plugtron.kernels.triton.norms import add_and_normalize
from plugtron.kernels.triton.rotary import rotate_and_write
from plugtron.nn.activations import Activation
from plugtron.nn.attention import alibi_slopes
from plugtron.nn.rotary import rotate
from plugtron.quantization.float8 import FLOAT8, LARGEST, Float8Weight, quantize_rows, to_float8
from plugtron.quantization.method import dense
from plugtron.quantization.weight import QuantizedWeight

assert os.environ.get("TRITON_INTERPRET") == "1" or torch.cuda.is_available(), "tests/conftest.py says so"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
#: How far two roundings of a result may be apart.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
FEW = settings(max_examples=8, deadline=None)
DTYPES = sampled_from(list(TOLERANCE))
#: Of matrix products, which the interpreter computes as if bfloat16 were integers.
PRODUCTS = sampled_from(list(TOLERANCE) if DEVICE == "cuda" else [torch.float32, torch.float16])


def numbers(*shape, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(dtype).to(DEVICE)


def close(found, expected, dtype, tolerance=None):
    tolerance = tolerance or TOLERANCE[dtype]
    torch.testing.assert_close(found.float(), expected.float(), rtol=tolerance, atol=tolerance)


@FEW
@given(
    rows=integers(1, 5),
    width=integers(1, 300),
    dtype=DTYPES,
    added=booleans(),
    centered=booleans(),
    biased=booleans(),
    offset=sampled_from([None, 0.0, 1.0]),
    seed=integers(0, 99),
)
def test_norms(rows, width, dtype, added, centered, biased, offset, seed):
    """`offset`: of the weight; None: there is none."""
    hidden, more = numbers(2, rows, width, seed=seed, dtype=dtype)
    weight, bias = numbers(2, width, seed=seed + 1, dtype=dtype)
    total = hidden + more if added else hidden.clone()
    normalize = F.layer_norm if centered else F.rms_norm
    expected = normalize(total.float(), (width,), eps=1e-5)
    expected = expected if offset is None else expected * (weight.float() + offset)
    expected = expected + bias.float() if biased else expected
    found = add_and_normalize(
        hidden, more if added else None, None if offset is None else weight, bias if biased else None, 1e-5,
        center=centered, offset=offset or 0.0,
    )  # fmt: skip
    torch.testing.assert_close(hidden, total)
    close(found, expected, dtype)


@FEW
@given(rows=integers(1, 4), width=integers(1, 1100), name=sampled_from(ACTIVATIONS), gated=booleans(), dtype=DTYPES)
def test_activations(rows, width, name, gated, dtype):
    channels = numbers(rows, width * (2 if gated else 1), seed=width, dtype=dtype)
    gate = channels[:, :width]
    expected = Activation(name)(gate) * channels[:, width:] if gated else Activation(name)(gate)
    close(activate(channels, name, gated=gated), expected, dtype)


@FEW
@given(
    tokens=integers(1, 4),
    kv_heads=integers(1, 3),
    group=integers(1, 4),
    head_dim=sampled_from([2, 8, 24, 64]),
    share=sampled_from([0, 0.5, 1]),
    normed=booleans(),
    offset=sampled_from([0.0, 1.0]),
    interleaved=booleans(),
    grows=booleans(),
    seed=integers(0, 99),
)
def test_rotation_and_writing(tokens, kv_heads, group, head_dim, share, normed, offset, interleaved, grows, seed):
    heads, block = kv_heads * group, 4
    qkv = numbers(tokens, (heads + 2 * kv_heads) * head_dim, seed=seed)
    width = int(head_dim * share) // 2 * 2
    angles = numbers(tokens, width // 2, seed=seed + 1)
    if interleaved:
        cosines, sines = angles.cos().repeat_interleave(2, 1), torch.stack((-angles.sin(), angles.sin()), 2).flatten(1)
    else:
        cosines = torch.cat((angles.cos(), angles.cos()), dim=1)
        sines = torch.cat((-angles.sin(), angles.sin()), dim=1)
    norms = tuple(numbers(2, head_dim, seed=seed + 2)) if normed else None
    keys, values = torch.zeros(2, 6, kv_heads, block, head_dim, device=DEVICE)
    blocks = (torch.randperm(5) + 1)[:tokens].to(DEVICE)
    offsets = torch.randint(0, block, (tokens,)).to(DEVICE)
    query, key, value = (
        part.unflatten(-1, (-1, head_dim))
        for part in qkv.split([heads * head_dim, kv_heads * head_dim, kv_heads * head_dim], dim=-1)
    )
    if norms is not None:
        query = F.rms_norm(query, (head_dim,), norms[0] + offset, 1e-6)
        key = F.rms_norm(key, (head_dim,), norms[1] + offset, 1e-6)
    if width:
        rotation = cosines.unsqueeze(1), sines.unsqueeze(1)
        query, key = (rotate(part, rotation, interleaved=interleaved) for part in (query, key))
    growth = numbers(tokens, seed=seed + 3) if grows else None
    if growth is not None:
        query = query * growth.view(-1, 1, 1)
    found = rotate_and_write(
        qkv, cosines if width else None, sines if width else None, norms, 1e-6, keys, values, blocks, offsets,
        interleaved=interleaved, offset=offset, growth=growth,
    )  # fmt: skip
    close(found, query, torch.float32)
    close(keys[blocks, :, offsets], key, torch.float32)
    close(values[blocks, :, offsets], value, torch.float32)
    assert keys.count_nonzero() <= key.numel()


def some_scores(heads, head_dim, shaped, seed):
    """Scores that are, as `shaped` says, capped, sloped, and beside sinks."""
    capped, sloped, with_sinks = shaped
    return Scores(
        scale=head_dim**-0.5,
        soft_cap=2.0 if capped else None,
        slopes=alibi_slopes(heads).to(DEVICE) if sloped else None,
        sinks=numbers(heads, seed=seed + 7) if with_sinks else None,
    )


def seen_by(positions, length, window, chunk):
    """Which of `length` positions queries at `positions` [T, 1] see."""
    at = torch.arange(length, device=DEVICE)
    first = torch.zeros_like(positions)
    first = torch.maximum(first, positions - window + 1) if window else first
    first = torch.maximum(first, positions // chunk * chunk) if chunk else first
    return (at <= positions) & (at >= first)


@FEW
@given(
    lengths=sampled_from([[1], [0, 5], [300, 1, 17], [256, 257]]),
    kv_heads=integers(1, 2),
    group=integers(1, 5),
    head_dim=sampled_from([8, 24, 64]),
    window=sampled_from([None, 3, 40, 300]),
    chunk=sampled_from([None, None, 30]),
    dtype=PRODUCTS,
    shaped=tuples(*[booleans()] * 3),
    seed=integers(0, 99),
)
def test_decode_attention(lengths, kv_heads, group, head_dim, window, chunk, dtype, shaped, seed):
    block, most = 16, 20
    scores = some_scores(kv_heads * group, head_dim, shaped, seed)
    rows = len(lengths)
    queries = numbers(rows, kv_heads * group, head_dim, seed=seed, dtype=dtype)
    keys, values = numbers(2, rows * most + 1, kv_heads, block, head_dim, seed=seed + 1, dtype=dtype)
    tables = (
        (torch.randperm(rows * most, generator=torch.Generator().manual_seed(seed)) + 1).view(rows, most).to(DEVICE)
    )
    found = decode_attention(
        queries, keys, values, tables, torch.tensor(lengths, device=DEVICE),
        longest=block * most, window=window, chunk=chunk, scores=scores,
    )  # fmt: skip
    for row, length in enumerate(lengths):
        if length == 0:
            assert not found[row].any()
            continue
        position = torch.tensor([[length - 1]], device=DEVICE)
        held = [memory[tables[row]].transpose(0, 1).flatten(1, 2)[:, :length] for memory in (keys, values)]
        expected = attend_plainly(
            queries[row].view(1, kv_heads, group, 1, head_dim).float(), held[0].float()[None], held[1].float()[None],
            seen_by(position, length, window, chunk), position, scores,
        )  # fmt: skip
        close(found[row], expected.view(-1, head_dim), dtype)
        alone = decode_attention(
            queries[row : row + 1], keys, values, tables[row : row + 1],
            torch.tensor([length], device=DEVICE), longest=block * most, window=window, chunk=chunk, scores=scores,
        )  # fmt: skip
        assert torch.equal(alone[0], found[row]), "a row's bits depend on the others"


@FEW
@given(
    chunks=sampled_from([[(0, 5)], [(3, 1), (0, 40)], [(20, 30), (70, 2), (0, 1)]]),
    kv_heads=integers(1, 2),
    group=integers(1, 5),
    head_dim=sampled_from([8, 24, 64]),
    window=sampled_from([None, 3, 40]),
    chunk=sampled_from([None, None, 30]),
    dtype=PRODUCTS,
    shaped=tuples(*[booleans()] * 3),
    seed=integers(0, 99),
)
def test_chunk_attention(chunks, kv_heads, group, head_dim, window, chunk, dtype, shaped, seed):
    """Chunks as (start, count), a row each; the first token of the step belongs to none of them."""
    block, most, rows = 16, 6, len(chunks)
    starts, counts = zip(*chunks, strict=True)
    firsts = [1 + sum(counts[:row]) for row in range(rows)]
    queries = numbers(1 + sum(counts), kv_heads * group, head_dim, seed=seed, dtype=dtype)
    keys, values = numbers(2, rows * most + 1, kv_heads, block, head_dim, seed=seed + 1, dtype=dtype)
    tables = (
        (torch.randperm(rows * most, generator=torch.Generator().manual_seed(seed)) + 1).view(rows, most).to(DEVICE)
    )
    positions = torch.tensor(
        [0, *(start + at for start, count in chunks for at in range(count))], dtype=torch.int64, device=DEVICE
    )
    spans = [Span(row=row, first=firsts[row], start=starts[row], count=counts[row]) for row in range(rows)]
    scores, nothing = some_scores(kv_heads * group, head_dim, shaped, seed), torch.full_like(queries, 7)

    def attended(some):
        tiles = torch.from_numpy(tiles_of(some, tile_tokens(group, head_dim * keys.itemsize))).to(DEVICE)
        result = nothing.clone()
        chunk_attention(
            queries, keys, values, tables, positions, tiles, result, window=window, chunk=chunk, scores=scores
        )
        return result

    found = attended(spans)
    assert torch.equal(found[0], nothing[0])
    for span in spans:
        inside = slice(span.first, span.first + span.count)
        held = [memory[tables[span.row]].transpose(0, 1).flatten(1, 2)[:, : span.end] for memory in (keys, values)]
        own = positions[inside, None]
        expected = attend_plainly(
            queries[inside].transpose(0, 1).unflatten(0, (kv_heads, group)).float()[None],
            *(memory.float()[None] for memory in held), seen_by(own, span.end, window, chunk), own, scores,
        )[0]  # fmt: skip
        close(found[inside], expected.flatten(0, 1).transpose(0, 1), dtype)
        halves = [
            replace(span, count=(span.count + 1) // 2),
            replace(span, first=span.first + (span.count + 1) // 2, start=span.start + (span.count + 1) // 2,
                    count=span.count // 2),
        ]  # fmt: skip
        again = attended(halves)[inside]
        close(again, found[inside], dtype)
        # numpy, which the interpreter multiplies with, sums up rows of one matrix in different orders.
        assert DEVICE == "cpu" or torch.equal(again, found[inside]), "a token's bits depend on its chunk"


@FEW
@given(
    rows=sampled_from([1, 2, 15, 70, 300]),
    groups=integers(1, 6),
    outputs=sampled_from([1, 31, 48, 96, 100]),
    form=sampled_from(["int4", "int8", "fp8", "plain"]),
    in_order=booleans(),
    biased=booleans(),
    dtype=PRODUCTS,
    seed=integers(0, 99),
)
def test_linear(rows, groups, outputs, form, in_order, biased, dtype, seed):
    x = numbers(rows, groups * 32, seed=seed, dtype=dtype)
    weight = numbers(outputs, groups * 32, seed=seed + 1).cpu()
    bias = numbers(outputs, seed=seed + 2, dtype=dtype) if biased else None
    held, dense = hold(weight, form, dtype, in_order=in_order or form == "plain")
    assert held.shape == (outputs, groups * 32)
    expected = F.linear(x.float(), dense.float(), None if bias is None else bias.float())
    # The error of a sum goes with what was added up, which may all but cancel.
    size = F.linear(x.float().abs(), dense.float().abs(), None if bias is None else bias.float().abs()).max()
    found = held(x, bias)
    # Of many rows torch's own product in fp8 rounds the inputs too, where it can be had: 3 bits and the leading one.
    rounded = form == "fp8" and rows > 64 and not held.in_order and outputs % 16 == 0
    close(found / size, expected / size, dtype, 0.1 if rounded else None)


def hold(weight, form, dtype, *, in_order):
    """A weight as a device has it, and what it stands for."""
    if form == "plain":
        dense = weight.to(dtype).to(DEVICE)
        return DeviceWeight(format="plain", values=dense, in_order=in_order), dense
    if form == "fp8":
        held = DeviceWeight.of(Float8Weight.of(weight.to(DEVICE)), weight.to(DEVICE), in_order=in_order)
        return held, held.values.float() * held.scales
    quantized = QuantizedWeight.of(weight, int(form.removeprefix("int")))
    return DeviceWeight.grouped(quantized, torch.device(DEVICE), in_order=in_order), quantized.dense().to(DEVICE)


@FEW
@given(rows=integers(1, 4), width=sampled_from([1, 40, 600]), seed=integers(0, 99), dtype=DTYPES)
def test_rounding_of_rows(rows, width, seed, dtype):
    """In Triton's interpreter what lies in the middle may go the other way, and what is rounded up lose its carry."""
    x = numbers(rows, width, seed=seed, dtype=dtype) * 100
    x[0, 0] = 0
    found, scales = float8_rows(x)
    expected, expected_scales = quantize_rows(x)
    close(scales, expected_scales, torch.float32)
    same = found.float() == expected.float()
    assert same.float().mean() > 0.9
    assert (found.float().abs() <= expected.float().abs() * 1.13).all()


@pytest.mark.parametrize("group", [1, 3])
def test_attention_over_memory_in_fp8(group):
    """What is written is rounded to e4m3, ends at its largest number, and is read as it was written."""
    tokens, kv_heads, head_dim, block = 5, 2, 16, 4
    # What e4m3 has already, and what is beyond it: Triton's interpreter rounds 31 to 16.
    qkv = to_float8(numbers(tokens, (group + 2) * kv_heads * head_dim, seed=1) * 100).float() * 2
    keys, values = torch.zeros(2, 3, kv_heads, block, head_dim, device=DEVICE).to(FLOAT8)
    at = torch.arange(tokens, device=DEVICE)
    queries = rotate_and_write(qkv, None, None, None, 0.0, keys, values, 1 + at // block, at % block)
    _, key, value = qkv.unflatten(1, (-1, head_dim)).split([group * kv_heads, kv_heads, kv_heads], dim=1)
    assert key.abs().max() > LARGEST, "nothing to be cut off"
    tables = torch.tensor([[1, 2]], device=DEVICE)
    for written, memory in ((key, keys), (value, values)):
        held = memory[tables[0]].float().transpose(1, 2).flatten(0, 1)[:tokens]
        close(held, to_float8(written), torch.float32)
    expected = F.scaled_dot_product_attention(
        queries.transpose(0, 1), *(to_float8(part).float().transpose(0, 1).repeat_interleave(group, 0)
                                   for part in (key, value)), is_causal=True, scale=1e-3,
    ).transpose(0, 1)  # fmt: skip
    found = torch.empty_like(queries)
    tiles = torch.from_numpy(tiles_of([Span(row=0, first=0, start=0, count=tokens)], 2)).to(DEVICE)
    chunk_attention(queries, keys, values, tables, at, tiles, found, window=None, scores=Scores(scale=1e-3))
    close(found / LARGEST, expected / LARGEST, torch.float32)
    last = decode_attention(
        queries[-1:], keys, values, tables, torch.tensor([tokens], device=DEVICE), longest=8, window=None,
        scores=Scores(scale=1e-3),
    )  # fmt: skip
    close(last[0] / LARGEST, expected[-1] / LARGEST, torch.float32)


def held_in(form, weight):
    """What a weight is held in; of MXFP4 other numbers, of any exponent that float16 has."""
    if form == "plain":
        return weight
    if form == "fp8":
        return Float8Weight.of(weight)
    if form == "mxfp4":
        random, (outputs, inputs) = torch.Generator().manual_seed(len(weight)), weight.shape
        values = torch.randint(0, 16, (outputs, inputs), generator=random, dtype=torch.uint8)
        scales = torch.randint(120, 129, (outputs, inputs // 32), generator=random, dtype=torch.uint8)
        return QuantizedWeight(bits=4, values=values, scales=scales, minimums=None)
    return QuantizedWeight.of(weight.cpu(), int(form.removeprefix("int")))


@FEW
@given(
    tokens=integers(1, 40),
    experts=integers(1, 9),
    top_k=integers(1, 4),
    form=sampled_from(["int4", "int8", "mxfp4", "fp8", "plain"]),
    inputs=integers(1, 100),
    outputs=integers(1, 100),
    biased=booleans(),
    dtype=PRODUCTS,
    seed=integers(0, 99),
)
@example(tokens=5, experts=3, top_k=2, form="mxfp4", inputs=70, outputs=70, biased=True, dtype=torch.float32, seed=1)
def test_expert_linear(tokens, experts, top_k, form, inputs, outputs, biased, dtype, seed):
    inputs = inputs if form == "plain" else -(-inputs // 32) * 32
    generator = torch.Generator().manual_seed(seed)
    ranked = torch.rand(tokens, max(experts, top_k), generator=generator)
    chosen = (ranked.argsort(1)[:, :top_k] % experts).to(DEVICE)
    x, weights = numbers(tokens, inputs, seed=seed, dtype=dtype), numbers(experts, outputs, inputs, seed=1, dtype=dtype)
    held = [held_in(form, weight) for weight in weights]
    weights = torch.stack([dense(own).to(weights) for own in held])
    product = ExpertWeights.of(held, weights)
    assert product.shape == weights.shape
    bias = numbers(experts, outputs, seed=2, dtype=dtype) if biased else None
    rows = ExpertRows.of(chosen, experts)
    found = torch.empty(tokens * top_k, outputs, dtype=dtype, device=DEVICE)
    found[rows.places] = product(x, rows.tokens, rows.tiles, bias)
    expected = torch.einsum("ti,tkoi->tko", x.float(), weights[chosen].float())
    expected = expected if bias is None else expected + bias[chosen].float()
    close(found, expected.flatten(0, 1), dtype, 10 * TOLERANCE[dtype])
    again = product(x[rows.tokens], None, rows.tiles, bias)
    close(again, found[rows.places], dtype)
