"""The wheel: whole, without what does not belong, and able to run away from the checkout."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "detectors", "triage", "costs", "stream", "evaluation", "dashboard", "scenarios")
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
PURE = ("schemas", "detectors", "triage", "costs", "stream/core")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, freshly built."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = target.glob("midwatch-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed into a directory of its own."""
    target = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            str(target),
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )
    return target


def run_installed(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=60
    )


def test_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    """Scripts, tables and schemas are in the wheel like the code; tests and benchmarks are not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".lua", ".json", ".toml", ".csv", ".html", ".css"} and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert any(name.endswith(".lua") for name in names)
    assert {name.split("/")[0] for name in names if not name.startswith("midwatch-")} <= set(PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_runs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    """The installed command answers, with its own files, from any directory."""
    where = run_installed(installed, "-c", "import stream.cli; print(stream.cli.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(installed)), where.stderr
    done = run_installed(installed, "-m", "stream.cli", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "verdicts" in done.stdout
    done = run_installed(installed, "-m", "stream.cli", "check-config", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_wheel_replays(installed: Path, tmp_path: Path) -> None:
    """The heart runs from the wheel: its data files are found."""
    event = '{"type":"usage","id":"u","time":"2026-03-01T02:00:00Z","environment":"p","system":"s","model":"gpt-5",'
    (tmp_path / "events.jsonl").write_text(event + '"input_tokens":1,"output_tokens":1}\n', encoding="utf-8")
    done = run_installed(installed, "-m", "stream.cli", "replay", "events.jsonl", "--out", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 usage" in done.stdout


def test_wheel_plays_scenarios(installed: Path, tmp_path: Path) -> None:
    """The stories are in the wheel, and can be played from it."""
    done = run_installed(installed, "-m", "stream.cli", "scenarios", "run", "breaker-fails", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "triage result circuit_breaker_state" in done.stdout


def test_locks_are_hashed_and_name_no_place() -> None:
    """Every locked requirement has hashes, and no line names an index, a file or an address."""
    for name in LOCKS:
        text = (ROOT / name).read_text(encoding="utf-8")
        pins = re.findall(r"^[a-z0-9][^\n]*==[^\n]*(?:\n    --hash=sha256:[0-9a-f]{64}[^\n]*)+", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)), name
        assert not re.search(r"://|--index|--find-links|\bfile:|@ ", text), name


def test_locks_hold_every_requirement() -> None:
    """What pyproject asks for is locked, in the same version in every lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = {}
    for name in LOCKS:
        text = (ROOT / name).read_text(encoding="utf-8")
        pins[name] = dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", text, re.MULTILINE))
    runtime, build, development = (pins[name] for name in LOCKS)
    for requirement in project["project"]["dependencies"]:
        assert re.split(r"[\[<>=; ]", requirement)[0] in runtime, requirement
    for requirement in project["dependency-groups"]["build"]:
        assert re.split(r"[\[<>=; ]", requirement)[0] in build, requirement
    for requirement in project["dependency-groups"]["dev"]:
        assert isinstance(requirement, dict) or re.split(r"[\[<>=; ]", requirement)[0] in development, requirement
    both = {**runtime, **build}
    assert {name: development[name] for name in both} == both


def test_the_pure_packages_ask_no_clock() -> None:
    """`now()`, `today()` and their like do not occur where time comes in as an argument."""
    clocks = {"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in PURE
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in clocks
    ]
    assert found == []
