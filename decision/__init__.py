"""Decisions: minimise a learned convex cost over a set, with a certified gap, and judge the decision by its regret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from decision import baselines as baselines
    from decision import learning as learning
    from decision import metrics as metrics
    from decision import sets as sets
    from decision import surrogates as surrogates
    from decision import tasks as tasks
    from decision._decider import Decider as Decider
    from decision._deciding import decide as decide
    from decision._fitting import fit as fit
    from decision._layer.module import DecisionLayer as DecisionLayer
    from decision._minimise.answers import Decision as Decision
    from decision._options import DecideOptions as DecideOptions
    from decision._region import Region as Region
    from decision._simulator import Simulator as Simulator
    from decision._simulator import problem as problem
    from decision.metrics import evaluate as evaluate
    from decision.sets import Affine as Affine
    from decision.sets import Ball as Ball
    from decision.sets import Box as Box
    from decision.sets import Budget as Budget
    from decision.sets import ConicSet as ConicSet
    from decision.sets import CvxpySet as CvxpySet
    from decision.sets import Ellipsoid as Ellipsoid
    from decision.sets import FeasibleSet as FeasibleSet
    from decision.sets import Horizon as Horizon
    from decision.sets import Intersection as Intersection
    from decision.sets import Polytope as Polytope
    from decision.sets import Product as Product
    from decision.sets import Simplex as Simplex
    from decision.tasks import Data as Data

__all__ = face(
    __name__,
    {
        "Affine": "decision.sets",
        "Ball": "decision.sets",
        "Box": "decision.sets",
        "Budget": "decision.sets",
        "ConicSet": "decision.sets",
        "CvxpySet": "decision.sets",
        "Data": "decision.tasks",
        "DecideOptions": "decision._options",
        "Decider": "decision._decider",
        "Decision": "decision._minimise.answers",
        "DecisionLayer": "decision._layer.module",
        "Ellipsoid": "decision.sets",
        "FeasibleSet": "decision.sets",
        "Horizon": "decision.sets",
        "Intersection": "decision.sets",
        "Polytope": "decision.sets",
        "Product": "decision.sets",
        "Region": "decision._region",
        "Simplex": "decision.sets",
        "Simulator": "decision._simulator",
        "decide": "decision._deciding",
        "evaluate": "decision.metrics",
        "fit": "decision._fitting",
        "problem": "decision._simulator",
    },
    modules=("baselines", "learning", "metrics", "sets", "surrogates", "tasks"),
)
