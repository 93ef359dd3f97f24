"""The scripted server's Batch API: files and batches as OpenAI and Azure have them, with all that can go wrong.

A batch is worked on at once, and looks as if it were not for `looks` retrievals. Each row's answer is the one that the
server would have given to the same request alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from aiohttp import web

from evaluation.scripted_wire import error_body

Status: TypeAlias = Literal["completed", "expired", "cancelled", "failed"]
Answer: TypeAlias = Callable[[dict[str, Any], str | None], tuple[int, dict[str, Any]]]
"""Status and body for a row's body, and for the fault that befalls it."""

MAX_PART: Final = 65_536
ANSWERED: Final = 0.5
"""Share of the rows that a batch which expired or was cancelled has answered."""


@dataclass
class Faults:
    """What goes wrong. `rows` names a fault of the server by custom id; `lose` are custom ids without any line."""

    rows: dict[str, str] = field(default_factory=dict)
    every_row: str | None = None
    lose: set[str] = field(default_factory=set)
    extra_lines: list[bytes] = field(default_factory=list)
    upload: int | None = None
    begin: int | None = None
    """Status of the answer to `batches.create`; `begins_all_the_same` says whether the batch is begun."""
    begins_all_the_same: bool = False
    cut_content: bool = False
    """The connection breaks in the middle of a file."""
    unknown: bool = False
    """No batch is known."""


class ScriptedBatches:
    """Files and batches in memory. `ends` is how the next batches end."""

    def __init__(self, answer: Answer) -> None:
        self.faults = Faults()
        self.ends: Status = "completed"
        self.looks = 1
        self.processing = 0
        """Looks at a file until it is processed, as Azure has it."""
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.expiries: list[str] = []
        """How long each file, and the results of each batch, are to be kept, as was asked."""
        self._made_files = 0
        self._answer = answer
        self._looked: dict[str, int] = {}

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """POST .../files."""
        if self.faults.upload is not None:
            return _refused(self.faults.upload)
        fields: dict[str, bytes] = {}
        async for part in await request.multipart():
            data = bytearray()
            while chunk := await part.read_chunk(MAX_PART):  # type: ignore[union-attr]  # no nested multipart is sent
                data += chunk
            fields[str(part.name)] = bytes(data)  # type: ignore[union-attr]
        if fields.get("purpose") != b"batch":
            return _refused(400)
        self.expiries.append(fields.get("expires_after[seconds]", b"").decode())
        return web.json_response(self._file(self._kept(fields["file"])))

    async def look_at_file(self, request: web.Request) -> web.StreamResponse:
        """GET .../files/ID."""
        name = request.match_info["file"]
        return web.json_response(self._file(name)) if name in self.files else _refused(404)

    async def content(self, request: web.Request) -> web.StreamResponse:
        """GET .../files/ID/content."""
        data = self.files.get(request.match_info["file"])
        if data is None:
            return _refused(404)
        if not self.faults.cut_content:
            return web.Response(body=data, content_type="application/octet-stream")
        stream = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await stream.prepare(request)
        await stream.write(data[: len(data) // 2])
        if request.transport is not None:
            request.transport.abort()
        return stream

    async def delete_file(self, request: web.Request) -> web.StreamResponse:
        """DELETE .../files/ID."""
        name = request.match_info["file"]
        known = self.files.pop(name, None) is not None
        return web.json_response({"id": name, "object": "file", "deleted": known})

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """POST .../batches."""
        body = await request.json()
        refused = self.faults.begin
        if refused is not None and not self.faults.begins_all_the_same:
            return _refused(refused)
        self.expiries.append(str((body.get("output_expires_after") or {}).get("seconds")))
        name = f"batch_{len(self.batches) + 1}"
        self.batches[name] = self._made(name, body)
        self._looked[name] = 0
        return _refused(refused) if refused is not None else web.json_response(self._shown(name))

    async def look(self, request: web.Request) -> web.StreamResponse:
        """GET .../batches/ID."""
        name = request.match_info["batch"]
        if name not in self.batches or self.faults.unknown:
            return _refused(404)
        self._looked[name] += 1
        return web.json_response(self._shown(name))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """POST .../batches/ID/cancel."""
        name = request.match_info["batch"]
        if name not in self.batches:
            return _refused(404)
        batch = self.batches[name]
        if self._looked[name] < self.looks:
            self.batches[name] = self._ended(batch, "cancelled")
        return web.json_response(self._shown(name))

    async def listing(self, _request: web.Request) -> web.StreamResponse:
        """GET .../batches, newest first."""
        data = [] if self.faults.unknown else [self._shown(name) for name in reversed(self.batches)]
        return web.json_response({"object": "list", "data": data, "has_more": False, "first_id": None, "last_id": None})

    def _made(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        batch = {
            "id": name,
            "object": "batch",
            "endpoint": body["endpoint"],
            "completion_window": body["completion_window"],
            "input_file_id": body["input_file_id"],
            "created_at": 0,
            "metadata": body.get("metadata"),
        }
        return self._ended(batch, self.ends)

    def _ended(self, batch: dict[str, Any], status: Status) -> dict[str, Any]:
        """The batch as it will be once it has ended."""
        rows = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        wrong = [row for row in rows if row["url"] != batch["endpoint"]]
        if status == "failed" or wrong:
            errors = {"object": "list", "data": [{"code": "invalid_request", "message": "No.", "line": 1}]}
            return {**batch, "status": "failed", "errors": errors}
        answered = len(rows) if status == "completed" else round(len(rows) * ANSWERED)
        good, bad = self._lines(rows[:answered])
        late = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(status, "")
        bad += [
            {"custom_id": row["custom_id"], "response": None, "error": {"code": late, "message": "Not done."}}
            for row in rows[answered:]
        ]
        counts = {"total": len(rows), "completed": len(good), "failed": len(bad)}
        output = [json.dumps(line).encode() for line in reversed(good)] + self.faults.extra_lines
        return {
            **batch,
            "status": status,
            "request_counts": counts,
            "output_file_id": self._kept(b"\n".join(output)) if output else None,
            "error_file_id": self._kept(b"\n".join(json.dumps(line).encode() for line in bad)) if bad else None,
        }

    def _lines(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        for row in rows:
            name = row["custom_id"]
            status, body = self._answer(row["body"], self.faults.rows.get(name, self.faults.every_row))
            line = {"id": f"r-{name}", "custom_id": name, "response": {"status_code": status, "body": body}}
            if name not in self.faults.lose:
                (good if status == 200 else bad).append({**line, "error": None})
        return good, bad

    def _shown(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        if self._looked[name] >= self.looks or batch["status"] == "cancelled":
            return batch
        waiting = {"output_file_id": None, "error_file_id": None, "errors": None}
        return {**batch, **waiting, "status": "in_progress" if self._looked[name] else "validating"}

    def _kept(self, data: bytes) -> str:
        self._made_files += 1
        name = f"file-{self._made_files}"
        self.files[name] = data
        return name

    def _file(self, name: str) -> dict[str, Any]:
        self.processing -= 1
        status = "processed" if self.processing < 0 else "pending"
        size = len(self.files[name])
        shown = {"id": name, "object": "file", "bytes": size, "created_at": 0, "filename": "batch.jsonl"}
        return {**shown, "purpose": "batch", "status": status}


def _refused(status: int) -> web.Response:
    return web.json_response(error_body("As was asked for.", "scripted"), status=status)


def add_batches(app: web.Application, batches: ScriptedBatches) -> None:
    """The routes, under OpenAI's prefix and under Azure's."""
    for prefix in ("/v1", "/openai"):
        app.router.add_post(f"{prefix}/files", batches.upload)
        app.router.add_get(f"{prefix}/files/{{file}}", batches.look_at_file)
        app.router.add_get(f"{prefix}/files/{{file}}/content", batches.content)
        app.router.add_delete(f"{prefix}/files/{{file}}", batches.delete_file)
        app.router.add_post(f"{prefix}/batches", batches.begin)
        app.router.add_get(f"{prefix}/batches", batches.listing)
        app.router.add_get(f"{prefix}/batches/{{batch}}", batches.look)
        app.router.add_post(f"{prefix}/batches/{{batch}}/cancel", batches.cancel)
