"""minideconv: the whole of Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", as array code.

Reading order: `functional` (the operations, each next to its adjoint), `layers` (up, and the three ways down),
`network` (walk up, walk down), `deconvnet` (the paper's Sec. 2.1).
"""

from . import functional
from .backend import array_module, to_device, to_numpy
from .deconvnet import Patches, Projection, Units, project, project_patches, strongest
from .network import Network, Trace
from .weights import load_model, save_model

__version__ = "0.1.0"
__all__ = [
    "Network",
    "Patches",
    "Projection",
    "Trace",
    "Units",
    "array_module",
    "functional",
    "load_model",
    "project",
    "project_patches",
    "save_model",
    "strongest",
    "to_device",
    "to_numpy",
]
