"""A number that was estimated, with what is known about its error."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self, final

LEAST_SAMPLE = 100.0  # effective draws below which an importance estimate, and its own error, say little
MOST_APART = 0.1  # error of a quadrature: beyond it its rules may all miss the law, by any amount
MOST_OUTSIDE = 0.01  # share of the mass outside a quadrature's box from which on the box is too small


@final
class UnreliableEstimate(UserWarning):
    """An estimate whose error is not small, or not known; the message says why and what to do."""


@final
class Estimate(float):
    """An estimate, usable as the number it is, with its errors.

    Args:
        value: the estimate, e.g. a mean of -log p in nats.
        error: error of the log Z in it: a standard error (importance sampling) or an estimate of the largest error
            (quadrature); 0 where log p needs no integral.
        sampling_error: standard error of the mean over the points; 0 where there are none.
        effective_sample_size: how many draws from p those of importance sampling are worth; None for other rules.
        outside: estimated share of the mass outside a quadrature's box; None for other rules.

    >>> Estimate(1.25, error=0.003, sampling_error=0.02, effective_sample_size=812.0)
    Estimate(1.25, error=0.003, sampling_error=0.02, effective_sample_size=812)
    >>> Estimate(1.25) + 1
    2.25
    """

    error: float
    sampling_error: float
    effective_sample_size: float | None
    outside: float | None

    def __new__(
        cls,
        value: float,
        error: float = 0.0,
        sampling_error: float = 0.0,
        effective_sample_size: float | None = None,
        outside: float | None = None,
    ) -> Self:
        """Make the number; the arguments are described above."""
        self = super().__new__(cls, value)
        self.error, self.sampling_error = error, sampling_error
        self.effective_sample_size, self.outside = effective_sample_size, outside
        return self

    @property
    def value(self) -> float:
        """The estimate as a plain float."""
        return float(self)

    @property
    def ok(self) -> bool:
        """Whether the estimate is finite and its error can be believed."""
        return self.doubt() is None

    def doubt(self) -> str | None:
        """Return why the error cannot be believed, or None."""
        if not (math.isfinite(self) and math.isfinite(self.error)):
            return f"the estimate is not finite ({float(self):g} +- {self.error:g}); look at the energies at the nodes"
        if self.effective_sample_size is not None and self.effective_sample_size < LEAST_SAMPLE:
            return (
                f"the effective sample size is {self.effective_sample_size:.3g}, below {LEAST_SAMPLE:g}: log Z is "
                "probably far off, and so is its error; draw more nodes, or take points nearer to the model's law"
            )
        if self.outside is not None and self.error > MOST_APART:
            return (
                f"the quadrature's rules are {self.error:.2g} apart in log Z, so that it does not resolve the law, and "
                "may be off by more: take more panels, or a smaller box"
            )
        if self.outside is not None and self.outside > MOST_OUTSIDE:
            return (
                f"about {100 * self.outside:.3g} % of the mass lies outside the quadrature's box, on which alone log Z "
                "is computed; take a larger box"
            )
        return None

    def warn(self) -> Self:
        """Give an `UnreliableEstimate` warning where the error cannot be believed; return the estimate."""
        if (why := self.doubt()) is not None:
            warnings.warn(why, UnreliableEstimate, stacklevel=3)
        return self

    def summary(self) -> str:
        """Return one line: the value, its errors, and the verdict first where there is doubt."""
        parts = [f"{self.value:.6g}", f"error {self.error:.2g}"]
        parts += [f"sampling error {self.sampling_error:.2g}"] if self.sampling_error else []
        if self.effective_sample_size is not None:
            parts.append(f"effective sample size {self.effective_sample_size:.0f}")
        if self.outside is not None:
            parts.append(f"{100 * self.outside:.3g} % outside the box")
        return ("" if self.ok else "unreliable: ") + ", ".join(parts)

    def __repr__(self) -> str:
        """Return the value with its errors."""
        shown = {
            "error": self.error,
            "sampling_error": self.sampling_error,
            "effective_sample_size": self.effective_sample_size,
            "outside": self.outside,
        }
        parts = [f"{name}={number:.3g}" for name, number in shown.items() if number is not None]
        return f"Estimate({', '.join([f'{self.value:.6g}', *parts])})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Let copies and pickles keep the errors."""
        return (self.value, self.error, self.sampling_error, self.effective_sample_size, self.outside)
