from plugtron import hookimpl


@hookimpl
def plugtron_samplers():
    return []
