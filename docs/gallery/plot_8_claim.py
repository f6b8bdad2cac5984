r"""
How a colleague checks a claim
==============================

Ann fits a network and claims what it is worth at her points: network and conic program agree, and the value lies
between two numbers in real arithmetic. Ben is to rely on that, and does not want to trust Ann, her libraries or her
solver. He gets one file. Checking it takes NumPy, SciPy and a few files that he can read; no torch, no solver.

We make a claim, check it, and then forge claims: one number at a time, from gross to tiny, to see what is let through.
"""

# %%
# Ann: a network and a claim
# --------------------------
# A convex model of scikit-learn's diabetes table, and a certificate at all 442 patients. ``save`` writes what proves
# it: network, program, points, values, a primal and a dual point each, and a bracket of the value.

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from socicnn import ConvexRegressor
from socicnn.errors import SocicnnError
from verify.check import check

X, y = load_diabetes(return_X_y=True, scaled=False)
model = ConvexRegressor("quad", random_state=0).fit(X, y)
certificate = model.certify(X)
print(certificate)

folder = Path(tempfile.mkdtemp())
certificate.save(folder / "claim.npz")
certificate.net.save(folder / "net.safetensors")
fingerprint = certificate.net.fingerprint
print(f"claim.npz: {(folder / 'claim.npz').stat().st_size / 1e6:.1f} MB; the network is {fingerprint[:16]}...")

# %%
# Ben: one command
# ----------------
# The network is the one that Ann published; her fingerprint names it, or her file.


def ben(*arguments):
    """Run the checker as a command and show what it prints."""
    print("$ python -m verify.check", *arguments)
    done = subprocess.run(
        [sys.executable, "-m", "verify.check", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    print((done.stdout + done.stderr).strip(), f"\nexit status {done.returncode}\n")


ben("claim.npz", "--fingerprint", fingerprint)
ben("claim.npz", "--network", "net.safetensors")

# %%
# What the checker loads:

loaded = "import sys, verify.check; print({name: name in sys.modules for name in ('numpy', 'scipy', 'torch', 'cvxpy')})"
print(subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout)

# %%
# Forgeries
# ---------
# First a clumsy one: Ann's value at the first patient is raised by 1 %. The file no longer has the digest it was
# written with.

honest = dict(np.load(folder / "claim.npz"))


def write(name, arrays):
    """Write arrays as a file."""
    np.savez(folder / name, **arrays)


def raised(array, share, place=0):
    """Return an array with one entry raised by a share of itself."""
    other = np.array(array)
    other.flat[place] += share * abs(other.flat[place])
    return other


forged = {**honest, "forward": raised(honest["forward"], 0.01)}
write("clumsy.npz", forged)
ben("clumsy.npz")

# %%
# A digest protects against damage, not against people: whoever can edit a number can write a new digest. So a forger
# does, with the project's own code. The number is then caught by what it means.

from verify._core.claim import digest  # private, as is a forger's work


def sealed(arrays):
    """Return arrays with a fresh digest."""
    body = {name: array for name, array in arrays.items() if name != "digest"}
    return {**body, "digest": np.array(digest(body))}


write("value.npz", sealed(forged))
ben("value.npz")

# %%
# A claim about another network, correct in itself, passes without a name. With one it does not: that is what the
# fingerprint is for.

other = ConvexRegressor("quad", random_state=1).fit(X, y).certify(X[:5])
other.save(folder / "other.npz")
ben("other.npz")
ben("other.npz", "--fingerprint", fingerprint)

# %%
# How small may a lie be?
# -----------------------
# Now one entry at a time is raised by a share of itself, from 10 % down to 1e-17: a claimed value, the network's
# bracket, the primal and the dual point, an entry of the program's matrix, and a weight of the network, whose program
# is left as it was.

largest = {name: int(np.argmax(np.abs(honest[name]))) for name in ("v", "y", "program.A.entries", "lo")}
lies = {
    "claimed value": ("forward", 0),
    "lower end of the bracket": ("lo", largest["lo"]),
    "primal point": ("v", largest["v"]),
    "dual point": ("y", largest["y"]),
    "program's matrix": ("program.A.entries", largest["program.A.entries"]),
    "weight of the network": ("net.layers.0.U", 0),
}
shares = 10.0 ** np.arange(-17, 0)
verdict = np.empty((len(lies), len(shares)), dtype="U9")
for row, (name, place) in enumerate(lies.values()):
    for column, share in enumerate(shares):
        changed = raised(honest[name], share, place)
        if np.array_equal(changed, honest[name]):
            verdict[row, column] = "no change"
            continue
        write("lie.npz", sealed({**honest, name: changed}))
        try:
            verdict[row, column] = "passes" if check(folder / "lie.npz").ok else "refused"
        except SocicnnError:
            verdict[row, column] = "refused"

# %%
# What passes changes nothing that is claimed: a value or an end within the width that the bracket is given for machines
# that sum in another order, or a witness that still proves the value. The program's matrix must be the network's to the
# last bit.

figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
styles = {"refused": ("X", "tab:red"), "passes": ("o", "tab:green"), "no change": ("_", "tab:gray")}
for word, (marker, color) in styles.items():
    rows, columns = np.nonzero(verdict == word)
    axis.scatter(shares[columns], rows, marker=marker, color=color, s=45, label=word)
axis.set(xscale="log", xlabel="one entry is raised by this share of itself", yticks=range(len(lies)))
axis.set_yticklabels(lies)
axis.invert_yaxis()
axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
plt.show()
