"""The wheel holds every file of the five packages and nothing else; an sdist makes the same wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = ["engines", "controllers", "wrappers", "samplers"]
PACKAGES = ["core/plugtron", *(f"plugins/{kind}/plugtron_{kind}" for kind in KINDS)]


def test_wheel_and_sdist(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=1200)
    wheel = next(tmp_path.glob("*.whl"))
    assert contents(wheel) == tree()
    sdist = next(tmp_path.glob("*.tar.gz"))
    subprocess.run(["tar", "-xf", sdist, "-C", tmp_path], check=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(
        command, cwd=tmp_path / sdist.name.removesuffix(".tar.gz"), check=True, capture_output=True, timeout=120
    )
    assert contents(next((tmp_path / "again").glob("*.whl"))) == tree()


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def tree():
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    roots = [ROOT / package for package in PACKAGES]
    return {
        str(path.relative_to(next(root.parent for root in roots if path.is_relative_to(root))))
        for path in files
        if "__pycache__" not in path.parts
    }
