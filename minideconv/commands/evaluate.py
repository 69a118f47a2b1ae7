"""`minideconv evaluate`: top-1 and top-5 error on photos in class folders, the measure of the paper's Table 2."""

from __future__ import annotations

from .shared import add_model_option, load_or_fetch, new_command, note


def add(commands) -> None:
    command = new_command(
        commands, "evaluate", run, "top-1 and top-5 error on photos in class folders (Table 2)",
        "minideconv evaluate --model zfnet512.npz --data imagenet/val --ten-crop\n"
        "  minideconv evaluate --model run/model.npz --data fashion-mnist",
    )  # fmt: skip
    add_model_option(command)
    command.add_argument(
        "--data", required=True, help="a folder or zip of class folders; fashion-mnist, cifar10: test part"
    )
    command.add_argument(
        "--ten-crop", action="store_true", help="average over corners, centre and mirror images (Sec. 3)"
    )


def run(options) -> None:
    """Classify every photo, and print the errors and whose order the classes have."""
    from ..datasets import is_official, load
    from ..evaluation import evaluate
    from ..folder_evaluation import evaluate_folders

    net, problems = load_or_fetch(options.model), []
    if is_official(options.data):
        data, order = load(options.data, part="test"), f"those of {options.data}, in its own order"
        result = evaluate(net, data.images, data.labels, ten_crop=options.ten_crop, progress=True)
    else:
        result, order, problems = evaluate_folders(net, options.data, ten_crop=options.ten_crop)
    for problem in problems[:10]:
        note(f"skipped: {problem}")
    crops = "mean of ten crops" if options.ten_crop else "one crop"
    print(f"photos       {int(result.confusion.sum()):,}{f', {len(problems):,} skipped' if problems else ''}, {crops}")
    print(f"classes      {order}")
    print(f"top-1 error  {100 * result.top1:.2f} %\ntop-5 error  {100 * result.top5:.2f} %")
