"""What the `deepcolor` command and `python -m deepcolor` run."""

import os
import sys

import deepcolor


def _leave_present_folder() -> None:
    """Keep imports from finding files of the current folder, where `python -m` looks first."""
    first = sys.path[0] if sys.path and not sys.flags.safe_path else None
    package = os.path.dirname(os.path.dirname(os.path.abspath(deepcolor.__file__)))  # noqa: PTH100, PTH120  # a pathlib.py may be there
    if first is not None and os.path.abspath(first) == os.getcwd() != package:  # noqa: PTH100, PTH109  # see above
        del sys.path[0]


def main() -> None:
    """Run the command line; a signal that stops it during imports ends it as quietly as one that comes later."""
    import signal  # Not above: the folder where `python -m` looks first may hold a file of this name.

    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
        from deepcolor.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    _leave_present_folder()
    main()
