"""Stochastic gradient descent as in the paper's Sec. 3: momentum, weight decay, filters that are scaled back."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from . import functional as F
from .backend import Array, array_module, keep_freed_memory, not_finite, to_device
from .initial_weights import complete, forget
from .layers import Conv2d
from .network import Network, NotFiniteError


class TrainingError(RuntimeError):
    """Training cannot go on; the message says where it stopped and what to try."""


def initialise(net: Network, method: str = "he", seed: int = 0) -> None:
    """Draw all weights anew; biases become zero.

    Args:
        method: "he": normal, scaled layer by layer (`initial_weights.he_scales`); "paper": normal with deviation 1e-2.
        seed: of the numbers.
    Raises:
        ValueError: if there is no such method.

    Paper: Sec. 3, "All weights are initialized to 10^-2 and biases are set to 0".
    """
    if method not in ("he", "paper"):
        raise ValueError(f"initialise: method {method!r} is unknown; use he or paper")
    layers = list(net.layers.values())
    forget(layers)
    complete(layers, seed, None if method == "he" else [0.01] * len(layers))


def renormalise_filters(net: Network, radius: float = 0.1) -> None:
    """Scale every convolution filter whose root mean square exceeds `radius` back to it, in place.

    Keeps single filters of the first layer from dominating.

    Paper: Sec. 3, "renormalize each filter in the convolutional layers whose RMS value exceeds a fixed radius".
    """
    for layer in net.layers.values():
        if isinstance(layer, Conv2d):
            xp = array_module(layer.weight)
            rms = xp.sqrt((layer.weight**2).mean(axis=(1, 2, 3), keepdims=True))  # (O, 1, 1, 1)
            layer.weight *= xp.minimum(radius / xp.maximum(rms, radius), 1)


class SGD:
    """Stochastic gradient descent with momentum.

        velocity = momentum · velocity - learning_rate · (gradient + weight_decay · weight);  weight += velocity

    Args:
        net: whose parameters are updated in place.
        learning_rate: may be changed between steps.
        momentum, weight_decay: biases are not decayed.
        filter_radius: after each update, filters with a larger root mean square are scaled back to it; None: never.
    Attributes:
        velocity: {"conv1.weight": array, …}.
        steps: how many updates were made;  errors: how many images of the last batch were not classified right.

    Paper: Sec. 3.
    """

    def __init__(self, net: Network, *, learning_rate: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0,
                 filter_radius: float | None = None):  # fmt: skip
        keep_freed_memory()
        self.net, self.learning_rate, self.momentum = net, learning_rate, momentum
        self.weight_decay, self.filter_radius = weight_decay, filter_radius
        self.velocity = {name: array_module(value).zeros_like(value) for name, value in net.parameters().items()}
        self.steps, self.errors = 0, 0

    def step(self, x: Array, labels: Array, rng: np.random.Generator | None = None) -> float:
        """Forward, softmax cross-entropy, backward, update.

        Args:
            x: (C, H, W, N) as the net takes it;  labels: (N,) integers.
            rng: what dropout draws from; None counts the steps.
        Returns:
            the mean loss of the batch, before the update.
        Raises:
            TrainingError: if the loss or a gradient is not finite; nothing has been updated then.
            ValueError: if the net has no classifier.
        """
        rng = np.random.default_rng(self.steps) if rng is None else rng
        with self.guarded():
            trace = self.net.forward(x, rng=rng)
        logits, labels = trace[self.net.name_of(None)], to_device(labels)
        if logits.ndim != 2:
            raise ValueError(f"{self.net.name} has no classifier to train; its last layer must give (classes, N)")
        loss, grad = F.cross_entropy(logits, labels)
        self.errors = int((logits.argmax(axis=0) != labels).sum())
        gradients = self.net.gradients(trace, grad)
        self._check({**gradients, "the loss": loss})
        self._update(gradients)
        return float(loss)

    def _update(self, gradients):
        parameters = self.net.parameters()
        for name, grad in gradients.items():
            velocity, value = self.velocity[name], parameters[name]
            if self.weight_decay and name.endswith(".weight"):
                grad = grad + self.weight_decay * value
            velocity *= self.momentum
            velocity -= self.learning_rate * grad
            value += velocity
        if self.filter_radius is not None:
            renormalise_filters(self.net, self.filter_radius)
        self.steps += 1

    @contextmanager
    def guarded(self):
        """Around a forward pass: say at which step a map or weight became NaN or infinite, and what to try."""
        try:
            yield
        except NotFiniteError as error:
            raise TrainingError(f"step {self.steps}: {error}; {self._advice()}") from None

    def _check(self, numbers):
        """Stop before a bad number reaches the weights, and name the layer it came from."""
        wrong = not_finite(numbers)
        if wrong:
            what = wrong if wrong == "the loss" else f"the gradient of {wrong}"
            raise TrainingError(f"step {self.steps}: {what} is not finite; {self._advice()}")

    def _advice(self) -> str:
        return f"try a learning rate below {self.learning_rate:g}"
