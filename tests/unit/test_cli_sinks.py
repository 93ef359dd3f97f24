"""The command line of sinks: what is said of none, of one that works and of one that does not."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stream.cli import app
from tests.support.destinations import Destination, destination
from tests.support.sinks import SECRET


@pytest.fixture
def server() -> Iterator[Destination]:
    """A destination in a thread of its own, as commands bring their own event loop."""
    loop, found, done = asyncio.new_event_loop(), [], threading.Event()
    ended = asyncio.Event()

    async def serve() -> None:
        async with destination("d", answer=202) as one:
            found.append(one)
            done.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    done.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


@pytest.fixture
def config(tmp_path: Path, server: Destination) -> Path:
    """A configuration with one sink."""
    (tmp_path / "secret").write_text(SECRET)
    path = tmp_path / "midwatch.toml"
    path.write_text(
        f'[kafka]\nbootstrap_servers = "127.0.0.1:1"\n[sinks.hook]\nkind = "webhook"\nurl = "{server.url}/x"\n'
        f'secret_file = "{tmp_path / "secret"}"\nallow_private = true\n'
    )
    return path


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sinks", *map(str, arguments)])


def test_a_sink_that_works_says_what_came_back(config: Path, server: Destination) -> None:
    """A trigger and its end go there, signed; the answers are shown, and the exit code is 0."""
    done = cli("test", "hook", "-c", config, "--json")
    assert done.exit_code == 0, done.output
    sent = json.loads(done.stdout)["sent"]
    assert [(one["what"], one["ok"]) for one in sent] == [("firing", True), ("resolved", True)]
    assert sent[0]["answer"].startswith("202")
    first, last = (request.json for request in server.requests)
    assert (first["status"], last["status"]) == ("firing", "resolved")
    assert first["incident_id"] == last["incident_id"]
    assert "test" in first["trigger"]["summary"]


def test_a_sink_that_does_not_says_why(config: Path, server: Destination) -> None:
    """The destination's refusal is shown, nothing else is sent, and the exit code is 1."""
    server.faults.append(401)
    done = cli("test", "hook", "-c", config)
    assert done.exit_code == 1
    assert "FAILED: rejected_by_destination: 401" in done.stdout
    assert len(server.requests) == 1


def test_a_name_that_there_is_not(config: Path) -> None:
    """The nearest name is offered, and the exit code says that the command line was wrong."""
    done = cli("test", "hok", "-c", config)
    assert done.exit_code == 2
    assert "did you mean 'hook'?" in done.stderr


def test_without_sinks_it_is_said_how_to_add_one(tmp_path: Path) -> None:
    """Nothing to list is no failure; nothing to run is."""
    path = tmp_path / "midwatch.toml"
    path.write_text("")
    listed = cli("list", "-c", path)
    assert (listed.exit_code, "no sink is configured" in listed.stdout) == (0, True)
    assert json.loads(cli("list", "-c", path, "--json").stdout) == {"sinks": []}
    ran = cli("run", "-c", path)
    assert (ran.exit_code, "no sink is configured" in ran.stderr) == (2, True)


def test_a_list_without_kafka_says_what_does_not_answer(config: Path) -> None:
    """One sentence on standard error, no traceback."""
    done = cli("list", "-c", config)
    assert done.exit_code == 1
    assert "no Kafka can be reached at 127.0.0.1:1" in done.stderr
