from plugtron.contracts import Sampler


class Clash(Sampler):
    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def apply(self, candidates):
        return candidates
