"""A sampler that bans tokens by their text, and the parameter that asks for it."""

from plugtron import Component, Need, Params, hookimpl


class BanParams(Params):
    acme_ban: str | None = None  # no token with this in its text


@hookimpl
def plugtron_samplers():
    return [
        Component(
            name="acme_ban",
            target="acme_samplers.ban:Ban",
            params=BanParams,
            summary="no token whose text has acme_ban in it",
            needs=frozenset({Need.TOKENIZER}),
        )
    ]
