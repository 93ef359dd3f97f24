"""Servers must not outlive whoever started them, even when that one is killed with SIGKILL."""

import subprocess
from contextlib import suppress


def wait_or_kill(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a process that was told to end; SIGKILL if that takes longer than `seconds`."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Guard:
    """Ends process `pid` (SIGTERM) when the process that holds this object ends, however it ends.

    A shell waits on a pipe whose other end we hold: when we are gone the pipe closes, and the shell sends the signal.

    Args:
        pid: a child of this process.
    """

    _SCRIPT = 'read -r _ || kill -TERM "$0" 2>/dev/null'

    def __init__(self, pid: int) -> None:
        self._shell = subprocess.Popen(  # noqa: S603 - A fixed script; its argument is a number.
            ["/bin/sh", "-c", self._SCRIPT, str(pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def release(self) -> None:
        """Stand down: the server was ended in an orderly way."""
        with suppress(BrokenPipeError):
            self._shell.communicate(b"\n")
        self._shell.wait()
