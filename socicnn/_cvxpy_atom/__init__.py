"""A network as one convex expression of CVXPY: an atom that brings its own cone form.

    build                to_cvxpy: x and the context, checked
    atom                 the atom: value, subgradient, sign, direction, cone form
    monotone             what the arrays say about sign and direction
    context_program      b, q, d, r as an affine function of what the context emits
    following            a context that is a Parameter, and derivatives that pass to it
    parameters           explicit Parameters fed by a function of torch, for layers

Users call `socicnn.to_cvxpy`.
"""
