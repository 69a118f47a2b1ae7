"""`minideconv demo`: the whole idea on one page, without network or download."""

from __future__ import annotations

from .shared import new_command


def add(commands) -> None:
    command = new_command(
        commands, "demo", run, "the whole idea on one page, with the net and pictures that minideconv carries",
        "minideconv demo --open\n  minideconv demo --out page",
    )  # fmt: skip
    command.add_argument(
        "--out", default="minideconv-demo", metavar="FOLDER", help="is created (default: minideconv-demo)"
    )
    command.add_argument("--open", action="store_true", help="show the page in the browser")


def run(options) -> None:
    """Write the page and print its path; open it only if asked to."""
    from ..demo import write_demo

    page = write_demo(options.out).resolve()
    print(page)
    if options.open:
        import webbrowser

        webbrowser.open(page.as_uri())
