"""The jars of a real Kafka, copied once from Maven Central and kept beside the project."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_POM = _ROOT / "tests" / "kafka" / "pom.xml"
_CACHE = _ROOT / ".cache"
_COPY_SECONDS = 600


class LibsUnavailable(Exception):
    """The jars cannot be had here; the message says why."""


def kafka_libs() -> Path:
    """The directory with the jars that the pom names; later calls find it in the cache.

    Raises:
        LibsUnavailable: no Maven, or it failed.
    """
    wanted = _CACHE / f"kafka-libs-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if wanted.is_dir():
        return wanted
    maven = shutil.which("mvn")
    if maven is None:
        raise LibsUnavailable("no Maven (mvn) to get Kafka's jars with")
    _CACHE.mkdir(exist_ok=True)
    (_CACHE / ".gitignore").write_text("*\n")
    with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
        jars = Path(scratch) / "jars"
        _copy(maven, jars)
        try:
            jars.rename(wanted)
        except OSError:
            if not wanted.is_dir():  # Otherwise another test run was quicker.
                raise
    return wanted


def _copy(maven: str, target: Path) -> None:
    command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    try:
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=_COPY_SECONDS, check=False, env={**os.environ}
        )
    except subprocess.TimeoutExpired:
        raise LibsUnavailable(f"Maven took more than {_COPY_SECONDS} s") from None
    if done.returncode != 0 or not target.is_dir():
        raise LibsUnavailable(f"Maven could not copy Kafka's jars: {(done.stdout + done.stderr).strip()[-500:]}")
