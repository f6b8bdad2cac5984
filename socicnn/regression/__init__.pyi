from socicnn.regression._band import Band as Band
from socicnn.regression._max_affine import MaxAffine as MaxAffine
from socicnn.regression._regressor import ConvexRegressor as ConvexRegressor
from socicnn.regression._trainer import Trainer as Trainer
