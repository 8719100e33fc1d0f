from plugtron import Component, hookimpl


@hookimpl
def plugtron_samplers():
    return [Component(name="acme_clash", target="acme_clash_one.sampler:Clash", summary="the first of two")]
