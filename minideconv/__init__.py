"""minideconv: the whole of Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", as array code.

Reading order: `functional` (the operations, each next to its adjoint), `layers` (up, and the three ways down),
`network` (walk up, walk down), `deconvnet` (the paper's Sec. 2.1).
"""

from . import functional
from .atlas import Atlas, atlas
from .backend import array_module, to_device, to_numpy
from .deconvnet import Patches, Projection, Units, project, project_patches, strongest
from .experiments.architecture_selection import Diagnosis, diagnose
from .experiments.correspondence import Correspondence
from .experiments.correspondence_analysis import correspond
from .experiments.feature_analysis import Transfer, transfer
from .experiments.feature_invariance import Invariance, invariance
from .experiments.model_sizes import ModelSizes, model_sizes
from .experiments.occlusion_sensitivity import Occlusion, occlude
from .experiments.sanity_checks import Controls, controls
from .experiments.scanning import TopActivations, top_activations
from .network import Network, Trace
from .weights import load_model, save_model

__version__ = "0.1.0"
__all__ = [
    "Atlas",
    "Controls",
    "Correspondence",
    "Diagnosis",
    "Invariance",
    "ModelSizes",
    "Network",
    "Occlusion",
    "Patches",
    "Projection",
    "TopActivations",
    "Trace",
    "Transfer",
    "Units",
    "array_module",
    "atlas",
    "controls",
    "correspond",
    "diagnose",
    "functional",
    "invariance",
    "load_model",
    "model_sizes",
    "occlude",
    "project",
    "project_patches",
    "save_model",
    "strongest",
    "to_device",
    "to_numpy",
    "top_activations",
    "transfer",
]
