__version__: str

from socicnn import conic as conic
from socicnn import density as density
from socicnn import errors as errors
from socicnn import frozen as frozen
from socicnn import importers as importers
from socicnn import nn as nn
from socicnn import positivity as positivity
from socicnn import regression as regression
from socicnn import training as training
from socicnn._compile import value_program as value_program
from socicnn._cvxpy_atom.build import to_cvxpy as to_cvxpy
from socicnn._cvxpy_atom.parameters import ContextParameters as ContextParameters
from socicnn.errors import ModelError as ModelError
from socicnn.errors import SocicnnError as SocicnnError
from socicnn.frozen import FrozenNet as FrozenNet
from socicnn.nn import ICKAN as ICKAN
from socicnn.nn import ICNN as ICNN
from socicnn.nn import SOCICNN as SOCICNN
from socicnn.nn import ConvSOCICNN as ConvSOCICNN
from socicnn.nn import NetOptions as NetOptions
from socicnn.nn import RecurrentSOCICNN as RecurrentSOCICNN
from socicnn.nn import load as load
from socicnn.nn import save as save
from socicnn.regression import ConvexRegressor as ConvexRegressor
from socicnn.regression import MaxAffine as MaxAffine
from socicnn.training import fit as fit
