"""Executions that are wrong, each in a way of its own."""

from offered import offered

from plugtron import Component, hookimpl
from plugtron.contracts import ExecutionBackend
from plugtron.execution.eager_backend import EagerBackend
from plugtron.execution.native_backend import NativeBackend


class Right(NativeBackend):
    """plugtron's native one."""

    @classmethod
    def assemble(cls, parts, options):
        return cls()


class Changed(EagerBackend):
    """Runs eagerly, and changes the logits."""

    deterministic = True

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def load(self, source):
        execution = super().load(source)
        run = execution.run
        execution.run = lambda batch, hidden=None: self.change(run(batch, hidden), source)
        return execution

    def change(self, logits, source):
        return logits


class Nameless(Changed):
    name = ""


class RoundsLogits(Changed):
    def change(self, logits, source):
        return logits.bfloat16().float()


class ForgetsBiases(Changed):
    """Leaves out what few models have."""

    def load(self, source):
        execution = super().load(source)
        for name, parameter in execution._decoder.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
        return execution


class TiedAlone(Changed):
    """Takes every head for the embedding."""

    def load(self, source):
        execution = super().load(source)
        decoder = execution._decoder
        decoder.output.weight.data = decoder.embedding.weight.data.clone()
        return execution


class CountsNothing(Changed):
    def load(self, source):
        execution = super().load(source)
        execution.__class__ = type("Weightless", (type(execution),), {"weight_bytes": 0})
        return execution


class WearsOut(Changed):
    """Every other pair of models of a process gets something else."""

    loaded = 0

    def load(self, source):
        WearsOut.loaded += 1
        return super().load(source)

    def change(self, logits, source):
        return logits.roll(1, dims=1) if self.loaded // 2 % 2 else logits


class SaysNothing(Changed):
    deterministic = False


class CountsRows(Changed):
    """Its sums depend on how many rows a step has."""

    def change(self, logits, source):
        return logits * (1 + 1e-6 * len(logits))


class RefusesEverything(Changed):
    def why_not(self, source):
        return "it is Friday"


NAMES = offered(globals(), ExecutionBackend, EagerBackend, NativeBackend, Changed)


@hookimpl
def plugtron_executions():
    return [Component(name=name, target=f"{__name__}:{value}", summary="wrong") for name, value in NAMES.items()]
