"""The operations of a convnet as explicit array code, each next to its adjoint.

Arrays are (C, H, W, N): feature maps (channels), rows, columns, images. One image is `x[..., n]`.
Letters used in every docstring:

    C, O      channels of the input, of the output
    H, W      rows and columns of the input map;   OH, OW  of the output map
    KH, KW    rows and columns of the kernel (or pooling window)
    N         images;   D  entries of a column vector, as fully connected layers have them

Weights are (O, C/groups, KH, KW), as in every framework. `stride`, `kernel_size` and `padding` are an int or
(vertical, horizontal); `padding` may also be ((top, bottom), (left, right)). All in pixels of the input map.
Floating point goes through unchanged: float32 in, float32 out; float64 stays float64.
"""

from .averaging import avg_pool2d, avg_pool2d_transpose, global_avg_pool2d, global_avg_pool2d_transpose
from .convolution import conv2d, conv2d_weight_gradient, conv_transpose2d
from .dense import cross_entropy, linear, linear_transpose, linear_weight_gradient, softmax
from .normalization import local_response_norm, local_response_norm_gradient
from .pooling import max_pool2d, max_unpool2d

__all__ = [
    "avg_pool2d",
    "avg_pool2d_transpose",
    "conv2d",
    "conv2d_weight_gradient",
    "conv_transpose2d",
    "cross_entropy",
    "global_avg_pool2d",
    "global_avg_pool2d_transpose",
    "linear",
    "linear_transpose",
    "linear_weight_gradient",
    "local_response_norm",
    "local_response_norm_gradient",
    "max_pool2d",
    "max_unpool2d",
    "softmax",
]  # fmt: skip
