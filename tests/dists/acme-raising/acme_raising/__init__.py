from plugtron import Component, hookimpl


@hookimpl
def plugtron_engines():
    return [Component(name="acme_engine", target="acme_raising.engine:Engine")]


@hookimpl
def plugtron_samplers():
    raise RuntimeError("the license server is down")
