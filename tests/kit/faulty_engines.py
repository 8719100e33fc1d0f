"""Engines that are wrong, each in a way of its own."""

from dataclasses import replace

from offered import offered

from plugtron import Component, Need, hookimpl
from plugtron_engines.dynamic import DynamicEngine
from plugtron_engines.static import StaticEngine


class Right(StaticEngine):
    """One batch after the other."""


class PadsPrompts(Right):
    """Makes the prompts of a batch equally long, and masks nothing."""

    def _begin_batch(self):
        requests = list(self._intake._open.values())
        longest = max(len(request.prompt_tokens) for request in requests)
        for request in requests:
            request.prompt_tokens = [0] * (longest - len(request.prompt_tokens)) + request.prompt_tokens
        super()._begin_batch()


class OneSetOfParameters(Right):
    """Runs a batch with the parameters of its first request."""

    def _begin_batch(self):
        requests = list(self._intake._open.values())
        for request in requests:
            request.params = requests[0].params
        super()._begin_batch()


class Changed(Right):
    """Changes a request's parameters before it runs."""

    def changes(self, params):
        return {}

    def add_request(self, request):
        request.params = request.params.model_copy(update=self.changes(request.params))
        return super().add_request(request)


class IgnoresStops(Changed):
    def changes(self, params):
        return {"stop_token_ids": None}


class CountsThePrompt(Changed):
    def changes(self, params):
        return {"max_tokens": params.max_tokens - 1}


class IgnoresSeeds(Changed):
    requests = 0

    def changes(self, params):
        self.requests += 1
        return {"seed": self.requests}


class SharesASeed(Changed):
    def changes(self, params):
        return {"seed": 1}


class OneAnswer(Changed):
    def changes(self, params):
        return {"n": 1}


class TheSameAgain(Right):
    """Draws all answers of a request alike."""

    def add_request(self, request):
        number = super().add_request(request)
        for sequence in request.sequences:
            sequence.seed = 1
        return number


class ShortMemory(Right):
    """Keeps the end of a prompt alone."""

    def add_request(self, request):
        self.prepare_request(request)
        request.prompt_tokens = request.prompt_tokens[-4:]
        return super().add_request(request)


class TellsTheEnd(Right):
    """Yields nothing before a request has ended."""

    def step(self):
        return [output for output in super().step() if output.finish_reason is not None]


class EndsEachOutput(Right):
    """Writes a finish reason into every output."""

    def step(self):
        return [output._replace(finish_reason=output.finish_reason or "length") for output in super().step()]


class IgnoresAborts(Right):
    def abort_request(self, request_id):
        return request_id in self._intake._open


class AbortsEverything(Right):
    def abort_request(self, request_id):
        for other in list(self._intake._open):
            if other != request_id:
                super().abort_request(other)
        return super().abort_request(request_id)


class AbortsTheEnded(Right):
    def abort_request(self, request_id):
        super().abort_request(request_id)
        return True


class RaisesForOne(Right):
    """A request that cannot run is everybody's."""

    def add_request(self, request):
        self.prepare_request(request)
        if request.error:
            raise ValueError(request.error)
        return super().add_request(request)


class FailsNeighbors(Right):
    def add_request(self, request):
        self.prepare_request(request)
        if request.error:
            for other in self._intake._open.values():
                other.fail("something in the batch failed")
        return super().add_request(request)


class TakesAnything(Right):
    """A wrong prompt becomes another one."""

    def add_request(self, request):
        request.prompt = [token % 200 for token in request.prompt]
        return super().add_request(request)


class Leaks(DynamicEngine):
    """The memory of sequences that end in company is not given back."""

    leaked = 0

    def _end_sequence(self, sequence):
        self.leaked += len(self._scheduler.active) > 1
        super()._end_sequence(sequence)

    @property
    def stats(self):
        found = super().stats
        return replace(found, blocks_used=found.blocks_used + self.leaked)


class WearsOut(Right):
    """A prompt that it has seen loses its first token: what is kept of it is one too short."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = {}

    def add_request(self, request):
        self.prepare_request(request)
        count = self.seen[str(request.prompt)] = self.seen.get(str(request.prompt), 0) + 1
        if count > 3 and len(request.prompt_tokens) > 1:
            request.prompt_tokens = request.prompt_tokens[1:]
        return super().add_request(request)


class NeverDone(Right):
    """Is stuck with its first request."""

    def step(self):
        return []


class ClosesOnce(Right):
    def close(self):
        if self.closed:
            raise RuntimeError("it is closed")
        super().close()


class ClosesWhenIdle(Right):
    def close(self):
        assert not self._scheduler.active, "requests are running"
        super().close()


STATIC = {"options": "plugtron_engines.options:StaticOptions", "needs": frozenset({Need.CONTROLLER})}
NAMES = offered(globals(), StaticEngine, DynamicEngine, Changed)


@hookimpl
def plugtron_engines():
    own = {"leaks": STATIC | {"options": "plugtron_engines.options:DynamicOptions"}}
    return [
        Component(name=name, target=f"{__name__}:{value}", summary="wrong", **own.get(name, STATIC))
        for name, value in NAMES.items()
    ]
