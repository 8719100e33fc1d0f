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

__all__ = ["columns", "e2m1", "joined", "nibble", "power", "unit"]


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
def e2m1(word, J: tl.constexpr):
    """What bits 4 J to 4 J + 3 of words int32 are in floating point, of 2 bits of exponent and 1 of mantissa."""
    size = (word >> (4 * J)) & 7
    # From 1 on they are the same bits as in float32, but for the bias of exponents; below, halves.
    number = tl.where(size < 2, size.to(tl.float32) * 0.5, ((size << 22) + (126 << 23)).to(tl.float32, bitcast=True))
    return tl.where(((word >> (4 * J)) & 8) == 0, number, -number)


@triton.jit
def power(exponent):
    """2 to exponents uint8, of which 127 is taken off."""
    bits = exponent.to(tl.int32) << 23
    return tl.where(bits == 0, 1 << 22, bits).to(tl.float32, bitcast=True)


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
