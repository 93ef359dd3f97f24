"""Write the dashboards as the JSON files that Grafana provisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from stream.grafana.boards_fleet import SIGNALS, VERDICTS
from stream.grafana.boards_self import ENGINE, JUDGE
from stream.grafana.panels import Board

BOARDS: Final[tuple[Board, ...]] = (SIGNALS, VERDICTS, ENGINE, JUDGE)


def export(folder: Path) -> list[Path]:
    """Write one file a dashboard, named by its uid; other files are left alone. The paths, in order. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for board in BOARDS:
        path = folder / f"{board.uid}.json"
        path.write_text(json.dumps(board.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written
