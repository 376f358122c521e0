"""The files of this repository as its own tests see them: paths, texts and syntax trees."""

import ast
import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("fhir_server", "loaders", "profiles", "smart_auth", "terminology")
UNTRACKED = re.compile(r"(\.git|\.venv[^/]*|\.hypothesis|\.\w+_cache|data|build|dist|bench/results)/|.*__pycache__/")


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is or would be committed, relative to the root; without git, every file outside caches."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        names = [Path(name) for name in listing.split("\0") if name]
    else:
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        names = [name for name in names if not UNTRACKED.match(name.as_posix())]
    return tuple(sorted(name for name in set(names) if (ROOT / name).is_file()))


def modules(*folders: str) -> Iterator[Path]:
    """The Python modules below these top-level folders, relative to the root."""
    return (name for name in files() if name.suffix == ".py" and name.parts[0] in folders)


def dotted(path: Path) -> str:
    """`fhir_server/rest/__init__.py` -> `fhir_server.rest`, `fhir_server/app.py` -> `fhir_server.app`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def text(path: Path) -> str | None:
    """The text of a file, or None for a binary one."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
