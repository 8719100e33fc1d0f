from plugtron import Component, hookimpl

PLUGTRON_API = 99


@hookimpl
def plugtron_samplers():
    return [Component(name="acme_future", target="acme_future.sampler:Future")]
