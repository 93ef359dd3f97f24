"""What no part of the engine does, whoever wrote it: run what it reads, unpickle, ask a shell, skip a certificate."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from evaluation.agent import faust_app
from stream.settings import load_settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "detectors", "triage", "costs", "stream", "evaluation", "dashboard", "scenarios")
READS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "xml"}
RUNS_CODE = {"eval", "exec", "__import__"}
SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell", "mktemp"}
UNCHECKED = {"CERT_NONE", "CERT_OPTIONAL", "_create_unverified_context"}
WORDS = re.compile(
    r"\b(?:"
    + "|".join([*READS_CODE, *RUNS_CODE, *SHELLS, *UNCHECKED, "verify", "ssl", "shell", "check_hostname"])
    + r")\b"
)
LEARNER = "scenarios/learn_likelihoods.py"
"""Keeps its own half-way results in a folder that its caller names; no engine runs it."""


def trees() -> list[tuple[str, ast.Module]]:
    """Every module of the packages that are shipped in which one of the words occurs."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    texts = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]
    assert len(texts) > 300
    return [(name, ast.parse(text)) for name, text in texts if WORDS.search(text)]


def faults(tree: ast.Module) -> list[str]:
    """What is wrong in a module, by line."""
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").partition(".")[0]]
        found += [f"{name} is imported" for name in names if name in READS_CODE]
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            bare = isinstance(node.func, ast.Name)
            if (bare and called in RUNS_CODE) or called in SHELLS:
                found.append(f"line {node.lineno} calls {called}")
            for key in node.keywords:
                value = getattr(key.value, "value", None)
                if (key.arg, value) in {("shell", True), ("verify", False), ("ssl", False), ("check_hostname", False)}:
                    found.append(f"line {node.lineno} says {key.arg}={value}")
        if isinstance(node, ast.Attribute) and node.attr in UNCHECKED:
            found.append(f"line {node.lineno} names {node.attr}")
        if isinstance(node, ast.Assign) and "check_hostname" in {getattr(one, "attr", "") for one in node.targets}:
            found.append(f"line {node.lineno} sets check_hostname")
    return found


def test_nothing_that_is_read_is_run_and_no_certificate_is_skipped() -> None:
    """No pickles, no evaluated text, no YAML or XML from outside, no shell, no connection without its certificate."""
    wrong = {name: found for name, tree in trees() if (found := faults(tree))}
    assert set(wrong) <= {LEARNER}, wrong


def test_the_search_finds_what_it_looks_for() -> None:
    """Each kind of fault is seen, so that the test above can fail."""
    bad = """
import pickle
from yaml import load
eval("1"); os.system("x"); run(a, shell=True); get(url, verify=False); connect(ssl=False)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
"""
    assert len(faults(ast.parse(bad))) == 9
    assert faults(ast.parse("model.eval(); redis.eval(script); run(a, shell=False); get(url, ssl=context)")) == []


def test_faust_unpickles_nothing_and_opens_no_port(tmp_path: Path) -> None:
    """Its records are bytes for us to read, its pages, which would show its tables to anybody, are off."""
    app = faust_app(load_settings(None, {}), tmp_path)
    assert (app.conf.key_serializer, app.conf.value_serializer) == ("raw", "raw")
    assert app.conf.web_enabled is False
