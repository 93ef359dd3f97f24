"""What the commands `compare` and `crossover` are both given: where calls are measured, prices, figures of units."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast, get_args

import typer

from stream.cli_base import USAGE, complain, failures, settings_of

if TYPE_CHECKING:
    from costs.prices import PriceBook
    from costs.traffic import Traffic
    from stream.cost_inputs import Compared, Load
    from stream.settings import Settings
    from stream.usage_files import UsageTraffic
    from stream.usage_range import Stretch


def stretch_of(from_kafka: bool, since: str | None, until: str | None) -> Stretch | None:
    """The stretch of time to read from Kafka, None without `--from-kafka`; or the end of the command, exit 2."""
    if not from_kafka:
        if since is not None or until is not None:
            misused("--since and --until say what to read with --from-kafka")
        return None
    from stream.usage_range import Stretch

    begin, end = _moment("--since", since), _moment("--until", until)
    try:
        return Stretch.of(begin, end, datetime.now(UTC))
    except ValueError as error:
        misused(str(error))


def _moment(name: str, text: str | None) -> datetime | None:
    from stream.durations import parse_moment

    try:
        return None if text is None else parse_moment(text)
    except ValueError as error:
        misused(f"{name} {error}")


@dataclass(frozen=True)
class Unit:
    """What the command line says of the deployment and its units."""

    kind: str
    region: str
    percentile: Decimal
    table: Path | None
    input_tpm: Decimal | None
    output_ratio: Decimal | None


@dataclass(frozen=True)
class Given:
    """The options that both commands share."""

    config: Path | None
    model: str | None
    provider: str
    unit: Unit
    unit_usd: tuple[Decimal | None, ...]
    payg_usd: tuple[Decimal | None, ...]

    def compared(
        self, files: list[Path], stretch: Stretch | None, load: Load | None
    ) -> tuple[Compared, UsageTraffic | None]:
        """Read or describe the traffic, and compare it: of files, of Kafka, as described, else of Redis."""
        from costs.compare import Sizing
        from costs.ptu import TERMS, DeploymentType
        from stream.cost_inputs import UnitFigures, compare_all, read_own_table, with_figures
        from stream.usage_files import read_traffic

        settings = settings_of(self.config)
        if self.unit.kind not in get_args(DeploymentType):
            misused(f"--deployment-type {self.unit.kind}: known are {', '.join(get_args(DeploymentType))}")
        sizing = Sizing(cast("DeploymentType", self.unit.kind), self.unit.region, float(self.unit.percentile))
        figures = UnitFigures(
            {term: usd for term, usd in zip(TERMS, self.unit_usd, strict=True) if usd is not None},
            float(self.unit.input_tpm) if self.unit.input_tpm else None,
            None if self.unit.output_ratio is None else float(self.unit.output_ratio),
        )
        table = with_figures(read_own_table(self.unit.table, settings.ptu_table()), figures, sizing)
        book = self._book(settings)
        read = None
        if load is not None:
            traffic = self._described(book, load)
        elif files:
            read = read_traffic(files, book, self.model, self.provider)
            traffic = read.traffic
        elif stretch is not None:
            read = self._read(settings, stretch, book)
            traffic = read.traffic
        else:
            traffic = self._held(settings, book)
        return compare_all(traffic, table, figures, sizing), read

    def _read(self, settings: Settings, stretch: Stretch, book: PriceBook) -> UsageTraffic:
        """What the input topics hold."""
        from aiokafka.errors import KafkaError

        from stream.usage_range import read_range

        with failures(KafkaError):
            return asyncio.run(read_range(settings, stretch, book, self.model, self.provider))

    def _held(self, settings: Settings, book: PriceBook) -> dict[str, Traffic]:
        """What the engine holds in Redis."""
        from redis.exceptions import RedisError

        from stream.core.checkpoint import LayoutError
        from stream.cost_inputs import CostInputError
        from stream.cost_report import held_usage
        from stream.ondemand_read import OnDemandError
        from stream.store import LayoutMismatch

        with failures(OnDemandError, RedisError, LayoutMismatch, LayoutError):
            usage = asyncio.run(held_usage(settings))
        found, left_out = usage.traffic(book)
        if self.model is not None:
            found = {name: one for name, one in found.items() if name == self.model}
        if not found:
            raise CostInputError("; ".join(left_out.values()) or "Redis holds no such usage: does `midwatch run` run?")
        for why in left_out.values():
            complain(f"left out: {why}")
        return found

    def _described(self, book: PriceBook, load: Load) -> dict[str, Traffic]:
        from stream.cost_inputs import describe

        if self.model is None:
            misused("say with --model which model the calls are of")
        today = int(time.time()) // 86_400
        return {self.model: describe(book, self.model, self.provider, load, today)}

    def _book(self, settings: Settings) -> PriceBook:
        """The configuration's prices, or those of the command line."""
        from costs.prices import PriceBook
        from stream.cost_inputs import own_prices

        fresh, kept, written = self.payg_usd
        if fresh is None and kept is None and written is None:
            return settings.price_book()
        if fresh is None or written is None or self.model is None:
            misused("prices of your own need --model, --payg-input and --payg-output together")
        return PriceBook([own_prices(self.model, fresh, kept, written)])


def misused(text: str) -> NoReturn:
    """End the command for a wrong command line."""
    complain(text)
    raise typer.Exit(USAGE)
