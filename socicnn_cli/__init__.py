"""The command `socicnn`: strings become objects here. One command per module; errors are one line and exit status 2."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

import typer

from socicnn import __version__
from socicnn.errors import SocicnnError
from socicnn_cli import _decide, _demo, _evaluate, _export, _fit, _info, _plot, _predict, _verify

INTERRUPTED = 130  # typer's exit status after Ctrl-C

app = typer.Typer(
    help="Learned convex functions that can be trusted: fit, predict, plot, verify, decide, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": _demo.demo,
    "fit": _fit.fit,
    "predict": _predict.predict,
    "evaluate": _evaluate.evaluate,
    "plot": _plot.plot,
    "verify": _verify.verify,
    "decide": _decide.decide,
    "export": _export.export,
    "info": _info.info,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"socicnn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Learned convex functions that can be trusted: fit, predict, plot, verify, decide, export."""


def main() -> None:
    """Run the command; an error raised on purpose is printed as one line, and the exit status is 2."""
    warnings.showwarning = lambda message, *_: typer.echo(f"warning: {message}", err=True)
    words = sys.argv[1:]
    try:
        status = app(words or ["--help"], standalone_mode=False)
    except SocicnnError as error:
        _refuse(str(error))
    except Exception as error:
        said = getattr(error, "format_message", None)  # typer's own errors, whose class it does not publish
        if said is None:
            raise
        about = " ".join(["socicnn", *(word for word in words[:1] if word in COMMANDS)])
        _refuse(f"{said()} Run `{about} --help`")
    if status == INTERRUPTED:
        typer.echo("stopped; finished files are whole, nothing else was written", err=True)
    sys.exit(status if isinstance(status, int) else 0)


def _refuse(sentence: str) -> NoReturn:
    typer.echo(f"error: {' '.join(sentence.split())}", err=True)
    sys.exit(2)
