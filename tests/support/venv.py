"""A throw-away environment that sees all that this one has, and gets distributions of its own installed."""

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

DISTS = Path(__file__).parent.parent / "dists"


@dataclass(frozen=True)
class Environment:
    """Where it is."""

    python: Path

    def run(self, *arguments, check=None, timeout=1200, **environment):
        """Run python with arguments; `check` is the exit code it must end with."""
        import os

        done = subprocess.run(
            [self.python, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **environment},
        )
        if check is not None:
            assert done.returncode == check, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def plugtron(self, *arguments, **options):
        """Run the command line."""
        return self.run("-m", "plugtron", *arguments, **options)


def make(folder, distributions):
    """Build wheels of `distributions` (folders of tests/dists) and install them into a new environment."""
    wheels, home = folder / "wheels", folder / "venv"
    sources = [str(DISTS / name) for name in distributions]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    command = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels), *sources]
    subprocess.run(command, check=True, timeout=3000)
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    # An environment inside an environment sees only the system's packages; this line shows it ours.
    ours = sysconfig.get_path("purelib")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", *map(str, wheels.glob("*.whl"))]
    subprocess.run(install, check=True, timeout=3000)
    return Environment(python)
