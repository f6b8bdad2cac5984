"""Statements that run where none of our packages is imported."""

import subprocess
import sys

RUN = """
import sys
ours = ("socicnn", "socicnn_cli", "verify", "decision")
for code in sys.argv[1:]:
    exec(compile(code, code, "exec"), {})
    for name in [name for name in sys.modules if name.split(".")[0] in ours]:
        del sys.modules[name]
"""


def run_bare(*codes: str) -> None:
    """Run each, in one process that forgets our packages in between: what they import of others is imported once."""
    run = subprocess.run([sys.executable, "-c", RUN, *codes], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
