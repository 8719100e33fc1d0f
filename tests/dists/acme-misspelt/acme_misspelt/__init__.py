from plugtron import hookimpl


@hookimpl
def plugtron_smaplers():
    return []
