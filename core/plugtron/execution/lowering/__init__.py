"""From what a decoder computes to the program that the native step runs.

`read` turns the traces of a decoder into calls, `rewrite` improves their order, `plan` puts neighboring ones together
and says where results live, and `write` gives the program its weights.
"""

from __future__ import annotations
