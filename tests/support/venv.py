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


PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def bare(folder):
    """Return a new environment that sees ours."""
    home = folder / "venv"
    venv.create(home, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    # An environment inside an environment sees only the system's packages; this line shows it ours.
    ours = sysconfig.get_path("purelib")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    return Environment(home / "bin" / "python")


def install(environment, *packages):
    """Have packages fetched into an environment; return why that failed, or None."""
    command = [*PIP, "--python", str(environment.python), "install", *packages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def make(folder, distributions):
    """Build wheels of `distributions` (folders of tests/dists) and install them into a new environment."""
    wheels = folder / "wheels"
    sources = [str(DISTS / name) for name in distributions]
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels), *sources]
    subprocess.run(command, check=True, timeout=3000)
    environment = bare(folder)
    ready = map(str, wheels.glob("*.whl"))
    install = [*PIP, "--python", str(environment.python), "install", "--no-deps", "--no-index", *ready]
    subprocess.run(install, check=True, timeout=3000)
    return environment
