"""`minideconv convert`: weights from ONNX, PyTorch or safetensors into a model file, and out again."""

from __future__ import annotations

from ..models import ZOO
from .shared import new_command


def add(commands) -> None:
    command = new_command(
        commands, "convert", run, "weights from ONNX, PyTorch or safetensors into a model file, and out again",
        "minideconv convert zfnet512-12.onnx zfnet512.npz --preprocess caffe --classes synset_words.txt\n"
        "  minideconv convert alexnet-owt-7be5be79.pth alexnet.npz --classes imagenet_classes.txt\n"
        "  minideconv convert run/model.npz net.onnx",
    )  # fmt: skip
    command.add_argument(
        "source", metavar="SOURCE", help=".onnx, .pth, .safetensors, or a model file (.npz, a zoo name)"
    )
    command.add_argument("out", metavar="OUT", help=".npz, .onnx or .safetensors")
    command.add_argument("--net", metavar="NAME", help=f"the zoo net of a state dict, if unclear: {', '.join(ZOO)}")
    command.add_argument("--table", metavar="FILE", help="the layer table of a state dict: minideconv info NET --table")
    command.add_argument(
        "--preprocess", metavar="HOW", help="how photos are prepared: torchvision, caffe or a JSON file"
    )
    command.add_argument("--classes", metavar="FILE", help="class names, one a line or a JSON list, in the net's order")
    command.add_argument("--licence", metavar="TEXT", help="a note of the weights' licence")


def run(options) -> None:
    """Convert, and say what the file now knows and what it does not."""
    from ..convert import convert

    net = convert(
        options.source, options.out, net=options.net, table=options.table, preprocess=options.preprocess,
        classes=options.classes, licence=options.licence,
    )  # fmt: skip
    print(net)
    print(f"\nwritten        {options.out}")
    print(f"preprocessing  {net.preprocessing or 'unknown: give --preprocess before photos can be shown to it'}")
    count = net.class_count()
    names = f"{len(net.classes)} names" if net.classes else "no names: give --classes"
    without = "none, it ends with maps" if net.input_shape else "unknown until --preprocess gives the input's size"
    print(f"classes        {f'{count}, {names}' if count else without}")
    print(f"licence        {net.licence or 'unknown'}")
