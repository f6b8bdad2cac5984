"""The simplex as rows, and a network's cost over it as a CVXPY problem."""

import cvxpy as cp
import numpy as np
from scipy import sparse

from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.frozen import FrozenNet


def simplex(n: int) -> Rows:
    G = sparse.csr_array(np.vstack([np.ones(n), -np.eye(n)]))
    return Rows(G, np.concatenate([[1.0], np.zeros(n)]), Cones(1, n))


def on_simplex(net: FrozenNet) -> tuple[cp.Problem, cp.Variable, cp.Expression]:
    z = cp.Variable(net.in_features)
    cost = to_cvxpy(net, z)
    return cp.Problem(cp.Minimize(cost), [cp.sum(z) == 1, z >= 0]), z, cost
