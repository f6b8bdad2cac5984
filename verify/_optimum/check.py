"""The verdict on a claim about an optimum: the bracket is proven again from the program and the witness."""

from __future__ import annotations

import os
from dataclasses import dataclass

from socicnn._results import Result
from socicnn.errors import FileError
from verify._optimum.claim import read
from verify._optimum.mixed import MixedProgram, TreeError, TreeWitness
from verify._optimum.program import OptimumWitness
from verify._optimum.prove import prove, prove_tree


@dataclass(frozen=True, eq=False, repr=False)
class OptimumReport(Result):
    """Whether the claimed bracket follows from the witness.

    Args:
        lo: the claimed lower end.
        hi: the claimed upper end.
        proven_lo: the lower end that was proven here.
        proven_hi: the upper end that was proven here.
        sizes: what the program has, in words.
    """

    lo: float
    hi: float
    proven_lo: float
    proven_hi: float
    sizes: str

    @property
    def ok(self) -> bool:
        """Whether the claim follows from what was proven here."""
        return self.lo <= self.proven_lo and self.proven_hi <= self.hi

    def summary(self) -> str:
        """Return the verdict in one sentence."""
        claimed = f"optimal value in [{self.lo:.17g}, {self.hi:.17g}] ({self.sizes})"
        if self.ok:
            return f"PASSED: {claimed}"
        return f"FAILED: {claimed} does not follow: proven is [{self.proven_lo:.17g}, {self.proven_hi:.17g}]"


def check_optimum(path: str | os.PathLike[str]) -> OptimumReport:
    """Return the verdict on the claim in a file.

    Raises:
        FileError: no such file, damaged, or of another format.
    """
    claim = read(path)
    program, witness, more = claim.program, claim.witness, ""
    if isinstance(program, MixedProgram):
        assert isinstance(witness, TreeWitness)  # `read` sees to it
        more = f", {len(program.integers)} integers, {witness.leaves} cases"
        try:
            proof = prove_tree(program, witness)
        except TreeError as error:
            raise FileError(f"{os.fspath(path)} is not a valid certificate file: {error}") from None
    else:
        assert isinstance(witness, OptimumWitness)
        proof = prove(program, witness)
    lo, hi = (proof.lo, proof.hi) if claim.sign > 0 else (-proof.hi, -proof.lo)
    rows, variables = claim.program.conic.A.shape
    kinds = claim.program.conic.cones
    cones = len(kinds.second_order) + kinds.exponential
    sizes = f"{variables} variables, {rows} rows, {cones} cones{more}"
    return OptimumReport(claim.lo, claim.hi, lo, hi, sizes)
