"""Fully connected layers on column vectors (D, N), softmax, and the loss."""

from __future__ import annotations

from ..backend import Array, array_module
from ..parallel import eighths, share


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y = W x + b for every column: (D, N), weight (O, D), bias (O,) or None -> (O, N).

    Raises:
        ValueError: if shapes do not fit together.

    Paper: Sec. 2, the fully connected layers.
    """
    if x.ndim != 2 or x.shape[0] != weight.shape[1]:
        raise ValueError(f"linear: x has shape {x.shape}, weight (O, D) = {weight.shape}; x must be (D, N)")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias has shape {bias.shape}; expected (O,) = {weight.shape[:1]}")
    y = _product(weight, x)
    return y if bias is None else y + bias[:, None]


def linear_transpose(y: Array, weight: Array) -> Array:
    """The adjoint of `linear` (without bias): signal (O, N), weight (O, D) -> (D, N)."""
    return _product(weight.T, y)


def linear_weight_gradient(x: Array, grad: Array) -> Array:
    """How the loss changes with each weight: x (D, N), grad (O, N) -> (O, D)."""
    return _product(grad, x.T)


def _product(left, right):
    """The matrix product `left @ right`, its rows shared among cores (`parallel` says why BLAS does not do that)."""
    xp = array_module(left)
    result = xp.empty((len(left), right.shape[1]), xp.result_type(left, right))

    def work(blocks):
        for rows in blocks:
            xp.matmul(left[rows], right, out=result[rows])

    share(work, eighths(len(left), left), left)
    return result


def softmax(logits: Array) -> Array:
    """Turn every column of (classes, N) logits into probabilities that add up to 1.

    Paper: Sec. 2, "the softmax function".
    """
    shifted = array_module(logits).exp(logits - logits.max(axis=0))  # the largest becomes exp(0): no overflow
    return shifted / shifted.sum(axis=0)


def cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The mean of -log p(label) over the images, and its gradient with respect to the logits.

    Args:
        logits: (classes, N);  labels: (N,) integers from 0, on the same device.
    Returns:
        loss: an array without axes;  grad: (classes, N).
    Raises:
        ValueError: if there is not one label for every column, or one is no class.

    Paper: Sec. 2, "a cross-entropy loss function".
    """
    classes, count = logits.shape
    if labels.shape != (count,):
        raise ValueError(f"cross_entropy: labels have shape {labels.shape}; expected (N,) = {(count,)}")
    xp, shifted = array_module(logits), logits - logits.max(axis=0)
    log_p = shifted - xp.log(xp.exp(shifted).sum(axis=0))
    if not bool(((0 <= labels) & (labels < classes)).all()):
        raise ValueError(f"cross_entropy: a label is not one of the {classes} classes, 0 … {classes - 1}")
    truth = (xp.arange(classes)[:, None] == labels).astype(logits.dtype)  # (classes, N), one 1 a column
    return -(truth * log_p).sum() / count, (xp.exp(log_p) - truth) / count
