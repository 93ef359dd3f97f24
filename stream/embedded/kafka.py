"""`python -m stream.embedded.kafka`: the embedded broker as a command. Its first line of output is its address."""

import argparse
import asyncio
import logging
import signal
import sys

from stream.embedded.broker import DEFAULT_RETENTION_BYTES, EmbeddedKafka


async def serve(broker: EmbeddedKafka) -> None:
    """Run until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with broker:
        sys.stdout.write(f"{broker.bootstrap}\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m stream.embedded.kafka", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--partitions", type=int, default=4, help="of a topic that does not say how many")
    parser.add_argument(
        "--retention-bytes", type=int, default=DEFAULT_RETENTION_BYTES, help="per partition; -1 for all"
    )
    parser.add_argument("--no-auto-create", action="store_true", help="topics exist only when created")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="embedded kafka: %(message)s")
    try:
        broker = EmbeddedKafka(
            options.host,
            options.port,
            partitions=options.partitions,
            retention_bytes=options.retention_bytes,
            auto_create_topics=not options.no_auto_create,
        )
        asyncio.run(serve(broker))
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
