"""Free ports on loopback."""

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on right now.

    Before it is used someone else may take it; a server that can bind port 0 itself should do that instead.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
