"""The application and its exit codes: 0 done, 1 the work failed, 2 the request was wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from sarcofuse.cli import apply, study, weights
from sarcofuse.cli.audit import audit
from sarcofuse.cli.deep import deep
from sarcofuse.cli.explain import explain
from sarcofuse.cli.radiomics import radiomics
from sarcofuse.errors import SarcofuseError

INTERRUPTED = 130
"""What typer gives for Ctrl-C."""
HELP = """Predict recurrence of soft tissue sarcoma from one MRI, honestly validated.

Start with `sarcofuse demo`; for your own patients `sarcofuse init FOLDER`, then `check`, then `run`.
Every command explains itself with --help. Add --debug to any command for a full traceback.
"""


def make_app() -> typer.Typer:
    """Assemble the commands.

    Returns
    -------
    typer.Typer
        The application.
    """
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
    app.callback()(_version)
    commands: list[Callable[..., None]] = [study.demo, study.init, study.check, study.run, radiomics, deep, apply.segment, study.report, audit, apply.predict, explain]
    for command in commands:
        app.command()(command)
    dicom = typer.Typer(help="Work with DICOM folders.", no_args_is_help=True)
    dicom.command()(apply.convert)
    app.add_typer(dicom, name="dicom")
    networks = typer.Typer(help=weights.HELP, no_args_is_help=True, rich_markup_mode=None)
    networks.command("list")(weights.show)
    networks.command()(weights.fetch)
    networks.command()(weights.verify)
    app.add_typer(networks, name="weights")
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"sarcofuse {installed('sarcofuse')}")
        raise typer.Exit


def _version(_: bool = typer.Option(False, "--version", is_eager=True, callback=_print_version, help="Print the version and stop.")) -> None:
    """Hold the options of the program itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program's name; by default that of the process.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        code = make_app()([a for a in given if a != "--debug"], prog_name="sarcofuse", standalone_mode=False)
    except SarcofuseError as error:
        if debug:
            raise
        _say(str(error))
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(error.exit_code)
        if debug:
            raise
        _say(f"unexpected {type(error).__name__}: {error}. Finished work is kept. Run again with --debug for the full traceback.")
        code = 1
    if code == INTERRUPTED:
        _say("interrupted; finished work is kept, the same command goes on from there")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str) -> None:
    typer.echo(f"sarcofuse: {text}", err=True)
