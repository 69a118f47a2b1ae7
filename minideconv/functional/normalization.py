"""Local response normalisation across channels, and its gradient."""

from __future__ import annotations

from ..backend import Array


def local_response_norm(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Divide every value by the energy of the `size` channels around it, at the same pixel.

    y = x / (k + alpha / size · Σ x²)^beta, the sum over channels c - size//2 … c + size//2 that exist. `alpha` is
    divided by `size`, as in Caffe and ONNX (Krizhevsky et al. do not divide).

    Args:
        x: (C, ...) maps or vectors, channels first.
        size: how many channels, an odd number.
    Returns:
        like `x`.
    Raises:
        ValueError: if `size` is not a positive odd number.

    Paper: Sec. 2, "contrast normalization". Skipped on the way down by the deconvnet.
    """
    return x * _energy(x, size, alpha, k) ** -beta


def local_response_norm_gradient(grad: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """The gradient of `local_response_norm` with respect to `x`, for the gradient `grad` at its output.

    Args:
        grad: (C, ...) gradient at the output;  x: (C, ...) the input;  the others as given to it.
    Returns:
        like `x`.

    Not in the paper: it is backpropagation.
    """
    energy = _energy(x, size, alpha, k)
    shared = _sum_over_neighbours(grad * x * energy ** (-beta - 1), size)
    return grad * energy**-beta - x * shared * (2 * alpha * beta / size)


def _energy(x, size, alpha, k):
    if size < 1 or size % 2 == 0:
        raise ValueError(f"local_response_norm: size is {size}; it must be a positive odd number of channels")
    return k + _sum_over_neighbours(x * x, size) * (alpha / size)


def _sum_over_neighbours(x, size):
    """Replace every channel by the sum of the `size` channels around it."""
    total, channels = x.copy(), len(x)
    for shift in range(1, min(size // 2, channels - 1) + 1):
        total[shift:] += x[: channels - shift]
        total[: channels - shift] += x[shift:]
    return total
