from plugtron import Component, hookimpl


@hookimpl
def plugtron_samplers():
    return [Component(name="acme_clash", target="acme_clash_two.sampler:Clash", summary="the second of two")]
