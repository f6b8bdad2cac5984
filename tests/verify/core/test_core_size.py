"""The trusted core is what somebody reads who doubts a claim: it stays short, and without what it judges."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.support.frozen_nets import random_net
from verify import certify

LINES = 3_890  # of ours, loaded once a claim was checked and its report printed
CODE = """
import sys
import verify.check
assert verify.check.main([sys.argv[1]]) == 0
ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ("socicnn", "verify")}
for name, module in ours.items():
    if getattr(module, "__file__", None):
        with open(module.__file__, encoding="utf-8") as stream:
            print(name, sum(1 for _ in stream), file=sys.stderr)
foreign = [name for name in ("torch", "cvxpy", "clarabel", "scs", "ecos", "highspy", "flint") if name in sys.modules]
print("foreign", len(foreign), *foreign, file=sys.stderr)
"""


def test_what_checks_a_claim_can_be_read(tmp_path: Path) -> None:
    certify(random_net(3), np.zeros((2, 4))).save(tmp_path / "claim.npz")
    command = [sys.executable, "-c", CODE, str(tmp_path / "claim.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {line.split()[0]: int(line.split()[1]) for line in done.stderr.splitlines()}
    assert loaded.pop("foreign") == 0, done.stderr
    assert loaded["verify._core.checker"] > 100
    unneeded = ["verify._optimum", "socicnn._compile", "socicnn.conic._builder", "socicnn.conic.solvers", "socicnn.nn"]
    assert not loaded.keys() & {*unneeded, "verify._certify"}
    print("\n".join(f"{count:5} {name}" for name, count in loaded.items()), sum(loaded.values()), sep="\n")
    assert sum(loaded.values()) <= LINES
