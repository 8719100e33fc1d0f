"""GGUF files that llama-gguf-split has divided: NAME-00001-of-00003.gguf and so on, each with a header of its own."""

from __future__ import annotations

import re
from pathlib import Path

from plugtron.errors import CheckpointError
from plugtron.formats.gguf_header import GGUFHeader, read_header

__all__ = ["read_shards"]

_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)?")


def read_shards(path: Path) -> list[tuple[Path, GGUFHeader]]:
    """All files of a model and their headers, the first one first; a file that was not split is all there is.

    Raises:
        CheckpointError: the file is one of several, and others are missing or of another model.
    """
    header = read_header(path)
    metadata = header.metadata
    count, number = metadata.get("split.count", 0), metadata.get("split.no", 0)
    if count <= 1:
        return [(path, header)]
    name = _NAME.fullmatch(path.name)
    if name is None or int(name[3]) != count or int(name[2]) != number + 1:
        raise CheckpointError(
            f"{path} is file {number + 1} of {count}: keep the names that llama-gguf-split gives, such as "
            f"NAME-{number + 1:05}-of-{count:05}.gguf"
        )
    shards = [path.with_name(f"{name[1]}-{at:05}-of-{count:05}{name[4] or ''}") for at in range(1, count + 1)]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CheckpointError(f"{path} is file {number + 1} of {count}, and {', '.join(missing[:5])} is not beside it")
    headers = [header if shard == path else read_header(shard) for shard in shards]
    for at, (shard, own) in enumerate(zip(shards, headers, strict=True)):
        if own.metadata.get("split.count") != count or own.metadata.get("split.no") != at:
            raise CheckpointError(f"{shard} is not file {at + 1} of {count}, although it is called so")
    return list(zip(shards, headers, strict=True))
