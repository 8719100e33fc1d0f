"""Ranks on which warnings are errors, as in the process of the tests."""

import builtins
import warnings

from plugtron.testing import Ranks


class StrictRanks(Ranks):
    """As `Ranks`, with the `filterwarnings` of pytest's configuration."""

    def __init__(self, count, filters):
        super().__init__(count)
        self._filters = list(filters)

    def run(self, function, *arguments, timeout=600.0):
        """As `Ranks.run`."""
        return super().run(_strictly, self._filters, function, arguments, timeout=timeout)


def _strictly(filters, function, arguments):
    with warnings.catch_warnings():
        for each in filters:
            action, message, category, *_ = [*each.split(":"), "", "Warning"]
            warnings.filterwarnings(action, message, getattr(builtins, category or "Warning"))
        return function(*arguments)
