"""What a batch costs: the batch price of the contract or the list, or a share of the ordinary one."""

from __future__ import annotations

from dataclasses import dataclass

from costs.prices import Called, PriceBook


@dataclass(frozen=True, slots=True)
class BatchPrice:
    """Prices the calls of one model. `share` of the ordinary price counts where no batch price is known."""

    book: PriceBook
    model: str
    share: float

    def micro(self, read: int, written: int, day: int) -> int | None:
        """Micro-dollars for tokens read and written on a day (from 1970); None for a model without a price."""
        ordinary = self.book.micro(Called(self.model), read, 0, written, day)
        batch = self.book.micro(Called(self.model, tier="batch"), read, 0, written, day)
        if ordinary is None or batch is None:
            return batch
        # A book that knows no batch price answers with the ordinary one.
        return round(ordinary * self.share) if batch == ordinary else batch
