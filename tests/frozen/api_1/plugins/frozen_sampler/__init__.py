"""A sampler that bans tokens by their text, and the parameter that asks for it."""

from plugtron import Component, Need, Params, hookimpl


class BanParams(Params):
    frozen_ban: str | None = None  # no token with this in its text


@hookimpl
def plugtron_samplers():
    return [
        Component(
            name="frozen_ban",
            target="frozen_sampler.ban:Ban",
            params=BanParams,
            summary="no token whose text has frozen_ban in it",
            needs=frozenset({Need.TOKENIZER}),
        )
    ]
