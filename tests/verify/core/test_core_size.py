"""The trusted core is what somebody reads who doubts a claim: it stays short, and without what it judges."""

import subprocess
import sys

LINES = 4_450  # of ours, loaded by `python -m verify.check`; 450 of them are the passes that decisions share
CODE = """
import sys
import verify.check
ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ("socicnn", "verify")}
for name, module in ours.items():
    if getattr(module, "__file__", None):
        with open(module.__file__, encoding="utf-8") as stream:
            print(name, sum(1 for _ in stream))
foreign = [name for name in ("torch", "cvxpy", "clarabel", "scs", "ecos", "highspy", "flint") if name in sys.modules]
print("foreign", len(foreign), *foreign)
"""


def test_what_checks_a_claim_can_be_read() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    loaded = {line.split()[0]: int(line.split()[1]) for line in told.splitlines()}
    assert loaded.pop("foreign") == 0, told
    assert loaded["verify._core.checker"] > 100
    unneeded = ("socicnn._compile", "socicnn.conic._builder", "socicnn.conic.solvers", "socicnn.nn", "verify._certify")
    assert not loaded.keys() & set(unneeded)
    assert sum(loaded.values()) <= LINES, sorted(loaded.items(), key=lambda item: -item[1])
