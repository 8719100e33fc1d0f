"""Prompt lookup in its shortest form."""

from plugtron_controllers import Drafter, SpeculativeController


class Lookup(Drafter):
    """What followed the last token where it stood before."""

    def propose(self, wanted):
        found = {}
        for sequence, most in wanted:
            tokens = sequence.all_tokens
            places = [at for at, token in enumerate(tokens[:-1]) if token == tokens[-1]]
            if places:
                found[sequence.slot] = tuple(tokens[places[-1] + 1 :][:most])
        return found


def assemble(parts, options):
    del options
    return SpeculativeController(parts.wrapper, parts.tokenizer, parts.samplers, Lookup(), tokens=4)
