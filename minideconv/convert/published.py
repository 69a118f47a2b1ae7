"""What is known of published files, by their sha256: where they come from, their licence, and how photos are prepared.

Sizes, addresses and evidence are in docs/weights.md. Preprocessing is None where the file's publisher does not say it.
"""

from __future__ import annotations

from typing import NamedTuple

from ..images import TORCHVISION, Preprocessing


class Published(NamedTuple):
    source: str
    licence: str
    preprocessing: Preprocessing | None


TORCHVISION_LICENCE = "code BSD-3-Clause; the weights were never formally licensed (pytorch/vision issues 160, 2597)"

PUBLISHED = {
    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02": Published(
        "torchvision's AlexNet, alexnet-owt-7be5be79.pth", TORCHVISION_LICENCE, TORCHVISION
    ),
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0": Published(
        "torchvision's VGG16, vgg16-397923af.pth", TORCHVISION_LICENCE, TORCHVISION
    ),
    "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44": Published(
        "torchvision's VGG19, vgg19-dcbb9e9d.pth", TORCHVISION_LICENCE, TORCHVISION
    ),
    "6b0da9510f27f234ee96a85dc3809dd210150fdefad87f6850f9788513216945": Published(
        "BVLC AlexNet, bvlcalexnet-12.onnx of the ONNX model zoo", "BSD-3-Clause (ONNX model zoo)", None
    ),
    "ef3c82dad5c512f969dbf701fe35c0b3feb1585687d541f765eb68730c0a8af7": Published(
        "BVLC AlexNet, bvlcalexnet-9.onnx of the ONNX model zoo", "BSD-3-Clause (ONNX model zoo)", None
    ),
    "ea563e5c47d1f58e1717cf1a2d8bf288b8adc07af0ad228b622096cd243aeecb": Published(
        "CaffeNet, caffenet-12.onnx of the ONNX model zoo", "BSD-3-Clause (ONNX model zoo)", None
    ),
    "c975ca6a24c0a2e1584c6f82667e0ac9c06084fc7769d267f71b4a154d1f1c72": Published(
        "ZFNet-512, zfnet512-12.onnx of the ONNX model zoo", "MIT (ONNX model zoo)", None
    ),
    "55e3cb74e3d1744e0a8d9fecadd79e9f52887891e2e17df639670ac7293d99ba": Published(
        "ZFNet-512, zfnet512-9.onnx of the ONNX model zoo", "MIT (ONNX model zoo)", None
    ),
    "722c42f53ca03a5480296bf8f9c85a151de3eed9ec982d7d2302ff6e2900c67b": Published(
        "VGG16, vgg16-12.onnx of the ONNX model zoo", "not known", None
    ),
}
