from socicnn.frozen._bundle import Parts as Parts
from socicnn.frozen._max_affine import AffinePieces as AffinePieces
from socicnn.frozen._net import FrozenNet as FrozenNet
from socicnn.frozen._parts import Layer as Layer
from socicnn.frozen._parts import Norm as Norm
from socicnn.frozen._parts import Output as Output
from socicnn.frozen._parts import Quadratic as Quadratic
from socicnn.frozen._parts import Squares as Squares
