"""The `deepcolor` command: its commands in the order a user meets them, and the one place where errors become exit
codes.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import Annotated

import typer

from deepcolor import __version__, limits, scratch
from deepcolor.app.signals import listen
from deepcolor.cli import console, streams
from deepcolor.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USER_ERROR, DeepcolorError, Interrupted, UserError

app = typer.Typer(
    name="deepcolor",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search, track and promote networks that colour grey photos.",
)


def _version(value: bool) -> None:
    if value:
        print(f"deepcolor {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _register() -> None:
    from deepcolor.cli import (
        benchmark,
        colorize,
        compare,
        data,
        delete,
        demo,
        doctor,
        export,
        init,
        models,
        pipeline,
        plan,
        promote,
        rename,
        report,
        serve,
        service,
        show,
        slurm,
        stages,
        storage,
        studies,
        sweep,
        sync,
        ui,
        worker,
    )
    from deepcolor.cli import gc as gc_command

    for panel, commands in (
        ("Start", (demo.demo, doctor.doctor, benchmark.benchmark)),
        (
            "Search",
            (
                stages.stages,
                init.init,
                plan.plan,
                sweep.sweep,
                pipeline.pipeline,
                worker.worker,
                slurm.slurm,
                studies.studies,
                compare.compare,
                show.show,
                report.report,
                ui.ui,
            ),
        ),
        (
            "Share a machine",
            (service.service, service.submit, service.pause, service.resume, service.cancel, service.stop),
        ),
        (
            "Models",
            (
                promote.promote,
                models.models,
                models.pull,
                models.rollback,
                colorize.colorize,
                serve.serve,
                export.export,
            ),
        ),
        ("Keep in order", (sync.sync, gc_command.gc, rename.rename, delete.delete)),
    ):
        for command in commands:
            app.command(rich_help_panel=panel)(command)
    app.add_typer(data.app, name="data", rich_help_panel="Start")
    app.add_typer(storage.app, name="storage", rich_help_panel="Keep in order")


_register()


def collect_rarely() -> None:
    """Let Python look for cycles of garbage a hundredth as often: on a list of ten thousand trials, and on the imports
    of every command, it would spend a third of the time finding none. At the end, for seconds, not at all.
    """
    gc.set_threshold(70_000, 50, 50)
    atexit.register(_leave_garbage)


def _leave_garbage() -> None:
    # torch's bindings would complain of every function of theirs that is not collected.
    if "torch" not in sys.modules:
        gc.freeze()


def main() -> None:
    """Run the command line; print one line and exit with the error's code when a command fails."""
    streams.make_safe()
    collect_rarely()
    listen()
    console.fit_streams()
    limits.allow_open_files()
    # Child processes, and theirs, import nothing that happens to be in the folder they are started in.
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        scratch.claim()
        code = _run()
        streams.check_output()
    except Interrupted as stop:
        console.tell(str(stop))
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:  # Typer takes only those that come while a command runs.
        sys.exit(_interrupted())
    except Exception as error:  # the last resort: even a fault of ours is one line
        if console.settings.debug:
            raise
        sys.exit(_told(error))
    sys.exit(code)


def _run() -> int:
    try:
        app()
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # Typer ends a command silently after Ctrl-C.
            return _interrupted()
        if end.code:
            return end.code if isinstance(end.code, int) else EXIT_FAILURE
    return EXIT_FAILURE if console.settings.left_out else 0


def _interrupted() -> int:
    console.fail("interrupted; finished work is kept, and the same command continues")
    return EXIT_INTERRUPTED


def _told(error: Exception) -> int:
    """Say in one line what went wrong, and return the exit code for it."""
    try:
        streams.check_output()
    except UserError as output:
        error = error if isinstance(error, DeepcolorError) else output  # Printing it is what went wrong.
    refusal = limits.refusal(error)
    if isinstance(error, DeepcolorError):
        console.fail(str(error))
        return error.exit_code
    if refusal is not None:
        console.fail(str(refusal))
        return EXIT_USER_ERROR
    said = str(error).rstrip(".")
    console.fail(
        f"{type(error).__name__}: {said}. This is a fault in deepcolor; run again with --debug for the traceback."
    )
    return EXIT_FAILURE
