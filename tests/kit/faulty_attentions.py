"""Attentions that are wrong, each in a way of its own."""

from dataclasses import replace

import torch
from offered import offered

from plugtron import Component, hookimpl
from plugtron.contracts import AttentionBackend
from plugtron.kernels.attention import TorchAttention


class Right(TorchAttention):
    """plugtron's own."""

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def simplify(self, scores, query):
        return scores

    def attend(self, query, state, memory, scores):
        return super().attend(query, state, memory, self.simplify(scores, query))


class LooksPastWindows(Right):
    def attend(self, query, state, memory, scores):
        return super().attend(query, replace(state, window=None), memory, scores)


class LooksPastChunks(Right):
    def attend(self, query, state, memory, scores):
        return super().attend(query, replace(state, chunk=None), memory, scores)


class FlatHeads(Right):
    """Returns what the next product wants, not what it is asked for."""

    def attend(self, query, state, memory, scores):
        return super().attend(query, state, memory, scores).flatten(1)


class OneHead(Right):
    """All queries look at the first key-value head."""

    def write(self, key, value, state, memory):
        super().write(key[:, :1].expand_as(key), value[:, :1].expand_as(value), state, memory)


class OwnScale(Right):
    def simplify(self, scores, query):
        return replace(scores, scale=query.shape[-1] ** -0.5)


class CapsNothing(Right):
    def simplify(self, scores, query):
        return replace(scores, soft_cap=None)


class CapsBeforeScaling(Right):
    def simplify(self, scores, query):
        return scores if scores.soft_cap is None else replace(scores, soft_cap=scores.soft_cap / scores.scale)


class IgnoresSlopes(Right):
    def simplify(self, scores, query):
        return replace(scores, slopes=None)


class IgnoresSinks(Right):
    def simplify(self, scores, query):
        return replace(scores, sinks=None)


class DropsScales(Right):
    """Reads codes as if each were its number."""

    def attend(self, query, state, memory, scores):
        ones = None if state.value_scales is None else torch.ones_like(state.value_scales)
        return super().attend(query, replace(state, value_scales=ones), memory, scores)


class SeesEverything(Right):
    """Does not mask what no row has written."""

    def attend(self, query, state, memory, scores):
        return super().attend(query, state, memory, scores) + 1e-3 * state.values.mean()


class OneLayer(Right):
    """Keeps the memory that it has seen first."""

    first = None

    def attend(self, query, state, memory, scores):
        self.first = self.first if self.first is not None and memory is self.first[0] else (memory, state)
        return super().attend(query, self.first[1], memory, scores)


NAMES = offered(globals(), AttentionBackend, TorchAttention)


@hookimpl
def plugtron_attentions():
    return [Component(name=name, target=f"{__name__}:{value}", summary="wrong") for name, value in NAMES.items()]
