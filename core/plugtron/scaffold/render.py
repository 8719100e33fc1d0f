"""Writing a package from the template. copier writes the same, and brings later versions of it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from plugtron.errors import PlugtronError

__all__ = ["KINDS", "TEMPLATE", "ScaffoldError", "write_package"]

#: copier's template, and the one of `write_package`.
TEMPLATE = Path(__file__).parent / "template"
#: The kinds of parts that there is a template for.
KINDS = tuple(sorted(path.name for path in (TEMPLATE / "kinds").iterdir()))
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SUFFIX = ".jinja"


class ScaffoldError(PlugtronError):
    """A package cannot be written; the text says why."""

    exit_code = 2


def write_package(kind: str, name: str, folder: Path, *, plugtron: str) -> list[Path]:
    """Write the package of a part into a new folder.

    Args:
        kind: one of KINDS.
        name: the component's; the distribution is called the same, with - for _.
        plugtron: the version that it will require.

    Returns:
        The files that were written.

    Raises:
        ScaffoldError: the name cannot be a package's, or the folder has something in it.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("plugtron"):
        raise ScaffoldError(
            f"name {name!r}: accepted are lower-case letters, digits and _, a letter first, and no word of Python"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ScaffoldError(f"{folder} is not empty: nothing is written over what is there")
    answers = {"kind": kind, "name": name, "plugtron": plugtron}
    facts = {
        **answers,
        "distribution": name.replace("_", "-"),
        "class_name": "".join(word.title() for word in name.split("_")),
        "_copier_conf": {"answers_file": ".copier-answers.yml"},
        "_copier_answers": {"_src_path": str(TEMPLATE), **answers},
    }
    return list(_written(folder, facts))


def _written(folder: Path, facts: dict[str, object]) -> Iterator[Path]:
    jinja = Environment(loader=FileSystemLoader(TEMPLATE), keep_trailing_newline=True, undefined=StrictUndefined)
    jinja.filters["to_nice_yaml"] = lambda data: yaml.safe_dump(data, sort_keys=False)
    package = TEMPLATE / "package"
    for source in sorted(path for path in package.rglob("*") if path.is_file()):
        relative = source.relative_to(package)
        target = folder / jinja.from_string(str(relative)).render(facts).removesuffix(_SUFFIX)
        target.parent.mkdir(parents=True, exist_ok=True)
        is_template = source.name.endswith(_SUFFIX)
        text = jinja.get_template(f"package/{relative.as_posix()}").render(facts) if is_template else source.read_text()
        target.write_text(text)
        yield target
