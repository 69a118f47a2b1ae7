"""A network is a named list of layers. `forward` walks up and records a trace; everything else walks it down."""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from typing import NamedTuple

from . import functional as F
from .backend import Array, not_finite, room, to_device
from .initial_weights import complete, forget
from .layers import RULES, Layer, Step

CONTROL_SEED = (1311, 2901)  # of weights that mean nothing: one that no net is trained from
BATCH_BYTES = 2**28  # of maps, where it is ours to choose how many images go through a net together


class Trace:
    """What one forward pass computed, by layer name, on the device.

    `trace["relu5"]` are the maps of a layer, `trace.input` the images, `trace.switches["pool2"]` the switches.

    Attributes:
        steps: {layer name: Step}, in the order of the layers that ran.
    """

    def __init__(self, steps: dict[str, Step]):
        self.steps = steps

    @property
    def input(self) -> Array:
        """(C, H, W, N), what `forward` was given."""
        return next(iter(self.steps.values())).x

    @property
    def switches(self) -> dict[str, Array]:
        """{layer name: (C, OH, OW, N) uint8} of every max-pooling layer."""
        return {name: step.switches for name, step in self.steps.items() if step.switches is not None}

    def __contains__(self, layer: str) -> bool:
        return layer in self.steps

    def __getitem__(self, layer: str) -> Array:
        """The output maps of `layer`: (C, H, W, N), or (D, N) after Flatten."""
        return self.step(layer).y

    def step(self, layer: str) -> Step:
        if layer not in self.steps:
            raise ValueError(f"the trace has no layer {layer!r}; it has {', '.join(self.steps)}")
        return self.steps[layer]

    def image(self, n: int) -> Trace:
        """The same trace with image `n` alone (views, nothing is computed)."""
        count = self.input.shape[-1]
        if not 0 <= n < count:
            raise ValueError(f"the trace has {count} images, counted from 0; there is no image {n}")
        return Trace({name: step.image(n) for name, step in self.steps.items()})


class ReceptiveField(NamedTuple):
    """What a unit sees: rows start + row · stride … + size (half-open), columns alike, in pixels of the input.

    Each is (vertical, horizontal). `start` is negative where padding lets windows begin outside the image.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]


class NotFiniteError(ValueError):
    """A map or a weight holds NaN or infinity; the message names the layer."""


class TooLargeError(MemoryError):
    """So many images at once do not fit into memory; the message says how many do."""


class Network:
    """A named list of layers.

    Args:
        layers: pairs (name, layer). Their weights move to the device; missing ones are drawn (He et al. 2015, biases
            zero) from `seed`, in order, unless that is None.
        name: what the net is called.
        input_shape: (C, H, W) of the images it was made for, or None.
        preprocessing: turns photos into arrays (`images.Preprocessing`), or None where it is not known.
        classes: names of the outputs, or None.
        source, sha256, licence: where weights came from, in words.
        original_names: {layer: what the file it came from calls it}, or None.
        softmax: whether that file had a softmax after the last layer, which gives logits here.
    Attributes:
        layers: {name: layer}.

    >>> import numpy as np
    >>> from minideconv.layers import Conv2d, ReLU
    >>> net = Network([("conv1", Conv2d(1, 2, 3)), ("relu1", ReLU())])
    >>> net.forward(np.ones((1, 5, 5, 1), np.float32))["relu1"].shape
    (2, 3, 3, 1)
    """

    def __init__(self, layers, *, name="network", input_shape=None, preprocessing=None, classes=None,
                 source=None, sha256=None, licence=None, original_names=None, softmax: bool = False,
                 seed: int | None = 0):  # fmt: skip
        layers = list(layers)
        self.layers: dict[str, Layer] = dict(layers)
        if len(self.layers) != len(layers) or not layers:
            raise ValueError("a Network needs at least one layer, and a name of its own for each")
        self.name, self.preprocessing, self.classes = name, preprocessing, classes
        self.input_shape = tuple(input_shape) if input_shape else None
        self.source, self.sha256, self.licence = source, sha256, licence
        self.original_names, self.softmax = original_names, softmax
        complete(list(self.layers.values()), seed)

    def preprocess(self, photos) -> Array:
        """Photos as the net wants them: paths, Pillow images or uint8 (N, H, W, 3) -> (C, H, W, N) float32.

        Raises:
            ValueError: if the model file does not say how, or a photo cannot be used.
        """
        self.check_prepares()
        return to_device(self.preprocessing(photos))

    def check_prepares(self) -> None:
        """Refuse a net that does not say how photos are prepared."""
        if self.preprocessing is None:
            advice = "minideconv convert MODEL.npz NEW.npz --preprocess torchvision|caffe|FILE"
            raise ValueError(
                f"{self.name} does not say how photos are prepared; write it into the model file: {advice}"
            )

    def forward(self, x: Array, *, until: str | None = None, keep=None, rng=None) -> Trace:
        """Walk up the layers and record what each computed.

        Args:
            x: (C, H, W, N) float, on any device; it is moved to the chosen one.
            until: name of the last layer to run; None runs all.
            keep: names of the layers whose maps stay in the trace beside the last one's, None for all. Switches always
                stay: with them alone the deconvnet rule can walk down, the others need the maps of every ReLU.
            rng: a numpy Generator; with it this is a training pass and dropout is on.
        Raises:
            ValueError: if shapes do not fit, or a value is not finite.
            TooLargeError: if memory runs out.
        """
        with self.within_memory(x):
            return self._forward(self._checked_input(x), until, keep, rng)

    def _forward(self, x, until, keep, rng):
        names = self._names_until(until)
        kept = [self.name_of(name) for name in ([keep] if isinstance(keep, str) else keep or ())]
        steps, previous = {}, None
        for name in names:
            layer = self.layers[name]
            steps[name] = step = Step(name, x, layer.padding, rng)
            try:
                step.y = x = layer.up(x, step)
            except ValueError as error:
                raise ValueError(f"{self.name}, layer {name}: {error}") from None
            if keep is not None and previous is not None and previous not in kept:
                steps[previous].drop(y=True)
                step.drop(x=True)
            previous = name
        trace = Trace(steps)
        self._check_finite(x, list(steps))
        return trace

    def backward(self, trace: Trace, signal: Array, layer: str | None = None, rule: str = "gradient") -> Array:
        """Walk a signal from a layer's output down to the pixels.

        Args:
            trace: of a forward pass; shapes, switches and masks come from it, weights from this net.
            signal: like `trace[layer]`.
            layer: where the signal starts, None for the last layer of the trace.
            rule: "gradient", "deconvnet" or "guided": what a ReLU lets through.
        Returns:
            (C, H, W, N), the signal at the input.

        Paper: Sec. 2.1.
        """
        check_rule(rule)
        names = list(trace.steps)
        layer = names[-1] if layer is None else layer
        shape = trace.step(layer).y_shape
        if signal.shape != shape:
            raise ValueError(f"backward: the signal has shape {signal.shape}, but {layer} has {shape}")
        with self.within_memory(signal):
            for name in reversed(names[: names.index(layer) + 1]):
                signal = self.layers[name].down(signal, trace.step(name), rule)
        return signal

    def gradients(self, trace: Trace, grad: Array) -> dict[str, Array]:
        """The gradient of every parameter, for the gradient `grad` at the last layer of the trace.

        Args:
            grad: like the maps of that layer, (C, H, W, N) or (D, N).
        Returns:
            {"conv1.weight": …, "conv1.bias": …}, each like its parameter.
        Raises:
            ValueError: if `grad` has another shape, or maps were not kept.
        """
        found, names = {}, list(trace.steps)
        if grad.shape != trace.step(names[-1]).y_shape:
            wanted = trace.step(names[-1]).y_shape
            raise ValueError(f"gradients: grad has shape {grad.shape}, but {names[-1]} has {wanted}")
        trained = [name for name in names if self.layers[name].parameters]
        if not trained:
            return {}
        with self.within_memory(grad):
            for name in reversed(names):
                layer, step = self.layers[name], trace.step(name)
                found.update({f"{name}.{key}": value for key, value in layer.gradients(grad, step).items()})
                if name == trained[0]:  # nothing below has parameters
                    break
                grad = layer.down(grad, step, "gradient")
        return {f"{name}.{key}": found[f"{name}.{key}"] for name in trained for key in self.layers[name].parameters}

    def probabilities(self, x: Array) -> Array:
        """Softmax of the last layer's logits, vectors or maps of one pixel: (C, H, W, N) -> (classes, N).

        Raises:
            ValueError: if the net has no classifier.
        """
        last = self.name_of(None)
        return self.softmax_of(self.forward(x, keep=(last,))[last])

    def softmax_of(self, logits: Array) -> Array:
        """`probabilities` of what the last layer gave: (classes, N) or (classes, 1, 1, N) -> (classes, N)."""
        if logits.ndim == 4 and logits.shape[1:3] == (1, 1):
            logits = logits[:, 0, 0]
        if logits.ndim != 2:
            raise ValueError(f"{self.name} has no classifier: it ends with the maps of {self.name_of(None)}")
        return F.softmax(logits)

    def name_of(self, layer: str | None) -> str:
        """`layer` if there is one of that name, the last layer for None."""
        if layer is not None and layer not in self.layers:
            raise ValueError(f"{self.name} has no layer {layer!r}; it has {', '.join(self.layers)}")
        return layer or list(self.layers)[-1]

    def parameters(self) -> dict[str, Array]:
        """{"conv1.weight": array, …}: every parameter, not copied."""
        return {f"{n}.{key}": getattr(layer, key) for n, layer in self.layers.items() for key in layer.parameters}

    def output_shapes(self, input_shape=None) -> dict[str, tuple[int, ...]]:
        """{layer name: (C, H, W) or (D,)} of one image of `input_shape`, by default the net's own."""
        shapes, shape = {}, input_shape or self.input_shape
        if shape is None:
            raise ValueError(f"{self.name} has no input_shape; give (C, H, W)")
        for name, layer in self.layers.items():
            try:
                shapes[name] = shape = layer.output_shape(tuple(shape))
            except ValueError as error:
                raise ValueError(f"{self.name}, layer {name}: {error}") from None
        return shapes

    def sees_all(self, layer: str) -> bool:
        """Whether every unit of `layer` sees the whole image: after Flatten, or a mean over whole maps."""
        return any(self.layers[name].sees_all for name in self._names_until(layer))

    def class_count(self) -> int | None:
        """How many classes the last layer tells apart, as vectors or maps of one pixel.

        None if it gives larger maps, or if the input's size is not known.
        """
        shape = list(self.output_shapes().values())[-1] if self.input_shape else ()
        return shape[0] if shape and shape[1:] in ((), (1, 1)) else None

    def receptive_field(self, layer: str) -> ReceptiveField:
        """What a unit of `layer` sees, by interval arithmetic from the bottom up; meaningless where `sees_all`.

        >>> from minideconv import models
        >>> models.build("alexnet", until="pool5").receptive_field("relu5")
        ReceptiveField(size=(163, 163), stride=(16, 16), start=(-66, -66))
        """
        size, stride, start = [1, 1], [1, 1], [0, 0]
        for name in self._names_until(layer):
            step = self.layers[name]
            for axis in (0, 1):  # vertical, horizontal
                size[axis] += (step.kernel_size[axis] - 1) * stride[axis]
                start[axis] -= step.padding[axis][0] * stride[axis]
                stride[axis] *= step.stride[axis]
        return ReceptiveField(tuple(size), tuple(stride), tuple(start))

    def __repr__(self) -> str:
        from .summary import table

        return table(self)

    def _names_until(self, layer):
        names = list(self.layers)
        return names[: names.index(self.name_of(layer)) + 1]

    def _checked_input(self, x):
        first, layer = next(iter(self.layers.items()))
        if getattr(x, "dtype", None) is None or x.dtype.kind != "f" or x.ndim not in (2, 4):
            described = f"{x.dtype} {x.shape}" if hasattr(x, "shape") else type(x).__name__
            raise ValueError(f"forward: x is {described}; expected float (C, H, W, N), as net.preprocess gives")
        if not x.size:
            raise ValueError(f"forward: x is empty, {x.shape}; give at least one image")
        try:
            layer.output_shape(x.shape[:-1])
        except ValueError as error:
            raise ValueError(f"forward, layer {first}: {error}") from None
        x = to_device(x)
        if not_finite({first: x}):
            raise NotFiniteError(f"forward: the input of {first} holds NaN or infinity")
        return x

    def _check_finite(self, maps, names):
        """The door's second half: the weights that were used, and the maps they gave, are finite."""
        used = {name: value for name, value in self.parameters().items() if name.rsplit(".", 1)[0] in names}
        wrong = not_finite({**used, names[-1]: maps})
        if wrong in used:
            raise NotFiniteError(f"{self.name}: {wrong} holds NaN or infinity; load them again")
        if wrong:
            raise NotFiniteError(f"{self.name}: the maps of {wrong} overflow; check the scale of the input")

    def images_at_once(self, input_shape, most: int) -> int:
        """How many images of a shape (C, H, W) go through together where it is ours to choose, by the size of all maps.

        It depends on sizes alone, so that results do not change; unless a GPU is short of memory.
        """
        values = sum(map(math.prod, self.output_shapes(input_shape).values()))
        return min(max(room(BATCH_BYTES) // (4 * values), 1), most)

    @contextmanager
    def within_memory(self, x: Array):
        """Around work on the images `x`, (…, N): when memory runs out, say how many to take at once."""
        try:
            yield
        except TooLargeError:
            raise
        except MemoryError:
            count, fitting = x.shape[-1], x.shape[-1] // 2
            if fitting and self.input_shape:
                fitting = self.images_at_once(self.input_shape, fitting)
            advice = f"use a batch size of {fitting} or less" if fitting else "use a smaller image, or a lower layer"
            images = f"{count} images at once do" if count > 1 else "one image does"
            raise TooLargeError(f"{self.name}: {images} not fit into memory; {advice}") from None


def with_random_weights(net: Network, seed=CONTROL_SEED) -> Network:
    """A net of the same layers whose weights mean nothing: the control that shows what switches alone can draw.

    Args:
        seed: as NumPy's generators take it; by default one that no net is trained from.
    """
    layers = [(name, copy.copy(layer)) for name, layer in net.layers.items()]
    forget([layer for _, layer in layers])
    return Network(layers, name=f"{net.name} with random weights", input_shape=net.input_shape,
                   preprocessing=net.preprocessing, seed=seed)  # fmt: skip


def check_rule(rule: str) -> None:
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is unknown; use one of {', '.join(RULES)}")
