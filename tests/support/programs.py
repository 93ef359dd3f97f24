"""Stand-ins for kubectl, az and the like: programs that write down how they were called, and answer from a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCRIPT = """#!{python} -IS
import json, os, sys, time
folder = {folder!r}
with open(os.path.join(folder, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
with open(os.path.join(folder, "environment.json"), "w") as environment:
    json.dump(dict(os.environ), environment)
with open(os.path.join(folder, "answers.json")) as answers:
    table = json.load(answers)
line = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
for start, answer in table:
    if line.startswith(start):
        time.sleep(answer.get("sleep", 0))
        if "then" in answer:
            with open(os.path.join(folder, "answers.json"), "w") as answers:
                json.dump(answer["then"], answers)
        out = answer.get("out", "")
        sys.stdout.write(out if isinstance(out, str) else json.dumps(out))
        sys.stderr.write(answer.get("err", ""))
        sys.exit(answer.get("code", 0))
sys.stderr.write("unexpected: " + line)
sys.exit(99)
"""


class Programs:
    """A folder of such programs. Answers are (how the call begins, what it gets), the first that fits.

    An answer has an exit `code`, `out` and `err`, a `sleep` before it, and `then`, the answers from there on.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        for name in names:
            path = folder / name
            path.write_text(SCRIPT.format(python=sys.executable, folder=str(folder)), encoding="utf-8")
            path.chmod(0o755)
        self.answer()

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    def answer(self, *table: tuple[str, dict[str, Any]]) -> None:
        """Set the answers."""
        (self.folder / "answers.json").write_text(json.dumps(table), encoding="utf-8")

    @property
    def calls(self) -> list[list[str]]:
        """How they were called so far."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the last call."""
        found: dict[str, str] = json.loads((self.folder / "environment.json").read_text(encoding="utf-8"))
        return found
