"""Names of the components that a module of faults offers."""


def offered(names, *bases):
    """The classes of a module that are of certain kinds, by what they are called as components."""
    return {
        "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_"): name
        for name, value in list(names.items())
        if isinstance(value, type) and issubclass(value, bases) and value not in bases
    }
