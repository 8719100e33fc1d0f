"""Weights of 4 bits, eight to a word of 32: out of it as float32, and inputs in the same order.

A number is put into the lowest bits of a float of 2^23, whose unit is 1, and 2^23 is taken off again: two instructions,
where shifting, masking and converting are four at a GPU's rates. Without a shift it comes times a power of 16, which
who multiplies with it takes off elsewhere, exactly. Inputs are even or odd, a pair or the next one, and so on: eight
columns of words, by three splits.
"""

# What is compiled takes numbers for its constants.
# pyright: reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["columns", "joined", "nibble", "unit"]


@triton.jit
def nibble(word, J: tl.constexpr):
    """Bits 4 J to 4 J + 3 of words int32, as float32, times 16^(J mod 5)."""
    bits = word >> 20 if J >= 5 else word
    bits = (bits & (15 << (J % 5 * 4))) | 0x4B000000
    return bits.to(tl.float32, bitcast=True) - 8388608.0


@triton.jit
def unit(J: tl.constexpr):
    """What takes the power of 16 off that `nibble` comes with."""
    return 1.0 / (1 << (J % 5 * 4))


@triton.jit
def columns(line, WORDS: tl.constexpr):
    """Divide [WORDS * 8] into the eight columns [WORDS] of what belongs to each word."""
    even, odd = tl.split(tl.reshape(line, (WORDS, 2, 2, 2)))
    even_0, even_1 = tl.split(even)
    odd_0, odd_1 = tl.split(odd)
    c0, c4 = tl.split(even_0)
    c2, c6 = tl.split(even_1)
    c1, c5 = tl.split(odd_0)
    c3, c7 = tl.split(odd_1)
    return c0, c1, c2, c3, c4, c5, c6, c7


@triton.jit
def joined(c0, c1, c2, c3, c4, c5, c6, c7, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Put eight columns [ROWS, WIDTH / 8] in their order: [ROWS, WIDTH]."""
    even = tl.join(tl.join(c0, c4), tl.join(c2, c6))
    odd = tl.join(tl.join(c1, c5), tl.join(c3, c7))
    return tl.reshape(tl.join(even, odd), (ROWS, WIDTH))
