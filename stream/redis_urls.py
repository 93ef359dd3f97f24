"""The addresses in `redis.url`: one server, or several nodes to ask."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"single": 6379, "cluster": 6379, "sentinel": 26379}


def addresses(url: str, default_port: int = DEFAULT_PORTS["single"]) -> list[tuple[str, int]]:
    """Hosts and ports of `redis://host:port,host:port/0`. Raises ValueError with the part that is none."""
    found = []
    for part in urlsplit(url).netloc.rpartition("@")[2].split(","):
        host, colon, port = part.strip().rpartition(":")
        if not colon or port.endswith("]"):
            host, port = part.strip(), ""
        host = host.removeprefix("[").removesuffix("]")
        number = int(port) if port.isascii() and port.isdigit() else default_port if not port else 0
        if not host or not 0 < number <= 65_535:
            raise ValueError(f"'{part}' is not host:port")
        found.append((host, number))
    return found


def database(url: str) -> int:
    """The number of the database. Raises ValueError if it is none."""
    path = urlsplit(url).path.strip("/")
    if not path:
        return 0
    if not (path.isascii() and path.isdigit()):
        raise ValueError(f"'/{path}' is not the number of a database")
    return int(path)
