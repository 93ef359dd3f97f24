"""A load against a number of provisioned units: what they carry, what spills over, how well they are used.

What a minute has beyond the capacity spills over and is charged as pay-as-you-go, in proportion. (Azure spills whole
requests as they come; over a minute of many that is the same.) With `c_i` what minute i costs as pay-as-you-go and
`x_i` its normalised tokens, units that carry K tokens a minute save

    saving(K) = sum of min(c_i, K c_i / x_i)

which is concave in K and grows with the volume: the two facts that make the cheapest mix and the break-even exact.
"""

from __future__ import annotations

import numpy as np

from costs.ptu import HOURS_A_MONTH, DeploymentType, PtuModel
from costs.traffic import Traffic
from schemas.series import MICRO_USD


class Load:
    """The monthly load of one model, ready to be asked. `scale` multiplies the volume, the shape being the same."""

    def __init__(self, traffic: Traffic, model: PtuModel) -> None:
        self.model = model
        self.monthly = traffic.monthly
        busy = traffic.normalised(model)
        usd = traffic.micro / MICRO_USD * traffic.monthly
        order = np.argsort(-busy, kind="stable")
        self._busy = busy[order]
        usd = usd[order]
        per_token = np.divide(usd, self._busy, out=np.zeros_like(usd), where=self._busy > 0)
        zero = np.zeros(1)
        self._usd_of_busiest = np.concatenate([zero, np.cumsum(usd)])
        self._rate_of_busiest = np.concatenate([zero, np.cumsum(per_token)])
        self._tokens_of_busiest = np.concatenate([zero, np.cumsum(self._busy)])
        self.payg_usd = float(usd.sum())
        self.normalised = float(busy.sum() * traffic.monthly)
        self.mean_tpm = float(busy.mean())
        self._peak = None if traffic.peak is None else traffic.peak * self.mean_tpm

    def peak_tpm(self, percentile: float = 100.0) -> float:
        """Normalised tokens of the busiest minute, or of a percentile of the minutes."""
        if percentile >= 100:
            return float(self._busy[0]) if self._peak is None else self._peak
        return float(np.percentile(self._busy, percentile, method="inverted_cdf"))

    def spilled_usd(self, units: int, scale: float = 1.0) -> float:
        """Dollars a month for what the units do not carry; everything, with no units."""
        if units == 0:
            return self.payg_usd * scale
        capacity = units * self.model.input_tpm
        over = self._over(capacity / scale)
        return max(scale * float(self._usd_of_busiest[over]) - capacity * float(self._rate_of_busiest[over]), 0.0)

    def spilled_share(self, units: int) -> float:
        """The share of normalised tokens that the units do not carry."""
        if units == 0:
            return 1.0
        capacity = units * self.model.input_tpm
        over = self._over(capacity)
        whole = float(self._tokens_of_busiest[-1])
        return max(float(self._tokens_of_busiest[over]) - capacity * over, 0.0) / whole if whole else 0.0

    def utilisation(self, units: int) -> float:
        """The share of the units' capacity that is used."""
        capacity = units * self.model.input_tpm
        return self.mean_tpm * (1 - self.spilled_share(units)) / capacity if units else 0.0

    def saving_usd(self, units: int, scale: float = 1.0) -> float:
        """Dollars a month of pay-as-you-go that the units save, before their own price."""
        return self.payg_usd * scale - self.spilled_usd(units, scale)

    def unit_value_usd(self) -> float:
        """Dollars a month that one unit saves at most: every minute that has traffic fills it."""
        return float(self._rate_of_busiest[-1]) * self.model.input_tpm

    def full_unit_usd(self) -> float:
        """Dollars a month that a unit's whole capacity would cost as pay-as-you-go, at the load's mean price."""
        capacity = self.model.input_tpm * 60 * HOURS_A_MONTH
        return capacity * self.payg_usd / self.normalised if self.normalised else 0.0

    def cheapest_units(self, unit_usd: float, kind: DeploymentType, scale: float = 1.0) -> int:
        """The number of units with the least sum of their price and what spills over; 0 where none pay."""
        steps = self.model.steps[kind]
        top = self.model.units(self.peak_tpm() * scale, kind)
        low, high = 0, steps.place(top)

        def cost(place: int) -> float:
            units = steps.nth(place)
            return unit_usd * units + self.spilled_usd(units, scale)

        while low < high:  # the cost is convex in the step, so it falls up to the best one and rises behind it
            middle = (low + high) // 2
            if cost(middle + 1) < cost(middle):
                low = middle + 1
            else:
                high = middle
        rivals = (0, steps.nth(low), top)
        return min(rivals, key=lambda units: (unit_usd * units + self.spilled_usd(units, scale), units))

    def _over(self, tpm: float) -> int:
        """How many minutes have more than `tpm` normalised tokens."""
        return int(np.searchsorted(-self._busy, -tpm, side="left"))
