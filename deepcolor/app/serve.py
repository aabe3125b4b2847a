"""Serve a model over HTTP, with a page to try it on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from deepcolor.addresses import LOOPBACK
from deepcolor.app.colorize import check_model, one_champion
from deepcolor.app.reporter import SILENT, Reporter
from deepcolor.errors import UserError
from deepcolor.limits import check_room
from deepcolor.plainfile import read_plain
from deepcolor.scratch import temporary_folder
from deepcolor.serving.work import Bounds
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from deepcolor.serving.running import Running

_NEEDED = ("fastapi", "uvicorn", "multipart", "prometheus_client")
_SHORTEST_TOKEN = 16
_MOST_TOKEN_BYTES = 4096
_SHARE_A_GPU = 4
"""Processes: while one computes on it, the others decode and encode."""
FOLLOW_S = 5.0
"""Seconds between two looks at the alias."""


@dataclass(frozen=True)
class Server:
    """A server that is ready to run."""

    url: str
    """Where a browser on this machine finds it."""
    model: str
    """The reference of what it serves first: `colorizer@3`."""
    follows: bool
    """Whether it moves with its alias."""
    processes: int
    running: Running
    """`run()` serves until it is asked to end, `in_background()` for the time of a block."""


@contextmanager
def serving(
    model: str | None = None,
    *,
    workspace: Workspace,
    tracking_uri: str,
    host: str = "127.0.0.1",
    port: int = 8080,
    workers: int | None = None,
    device: str = "auto",
    bfloat16: bool = False,
    token: str | None = None,
    bounds: Bounds | None = None,
    follow_s: float = FOLLOW_S,
    aloud: bool = False,
    reporter: Reporter = SILENT,
) -> Iterator[Server]:
    """Make a server of a model; it answers once it is run, and its files are gone after the block.

    Args:
        model: `colorizer@champion`, which is followed when the alias moves; `transfer@2`, or a model folder; None: the
            one champion that colours pictures.
        workspace: Where votes are kept.
        tracking_uri: The MLflow store.
        host: Address to serve on.
        port: Port to serve on; 0: any that is free.
        workers: Processes that colour; None: one a core, or four a GPU.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        bfloat16: Let the network compute in bfloat16, as `ColorModel.colorize` says.
        token: What clients must show, 16 characters or more; None: nothing.
        bounds: What clients may cost; None: as `Bounds` says.
        follow_s: Seconds between two looks at the alias.
        aloud: Let the web server write what it does to stderr.
        reporter: Is told when the alias moves, and is warned when others than this machine's users reach the server.
    Raises:
        ModelError: There is no such model, or it does not colour pictures.
        TrackingError: The store cannot be read.
        UserError: The extra `serve` is not installed, host and port are in use, or the token is too short.
        LimitError: This shell does not allow that many processes.
    """
    check_installed()
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise UserError(
            f"token: must have {_SHORTEST_TOKEN} characters or more; got {len(token)}. Make one: openssl rand -hex 32"
        )
    if model is not None:
        check_model(model, tracking_uri=tracking_uri)
    named = model if model is not None else one_champion(tracking_uri, reporter)
    from deepcolor.serving.crew import Crew
    from deepcolor.serving.following import Follower
    from deepcolor.serving.models import Models
    from deepcolor.serving.running import Address, Running, others_reach
    from deepcolor.serving.tally import Tally
    from deepcolor.serving.votes import VOTES_FILE, Votes
    from deepcolor.serving.web import make_app

    devices = _devices(workers, device, reporter)
    bounds, tally, address = bounds or Bounds(), Tally(), Address(host, port)
    with address.bound() as listening, temporary_folder("serve") as folder:
        models = Models(named, tracking_uri=tracking_uri, folder=folder)
        crew = Crew(devices, bounds=bounds, tally=tally, bfloat16=bfloat16)
        follower = Follower(models, crew, every_s=follow_s, tally=tally, note=reporter.note, warn=reporter.warn)
        app = make_app(
            models,
            crew,
            follower,
            bounds=bounds,
            votes=Votes(workspace.root / VOTES_FILE),
            tally=tally,
            token=token,
            hosts=frozenset(LOOPBACK) if address.is_local else None,
            fault=reporter.warn,
        )
        given_port: int = listening.getsockname()[1]
        if others := others_reach(address, given_port):
            reporter.warn(_exposed(host, others, port=given_port, has_token=token is not None))
        running = Running(app, listening, aloud=aloud, end_s=bounds.seconds)
        yield Server(address.url(given_port), models.default.ref, models.follows, len(devices), running)


def check_installed() -> None:
    """Raise UserError where what serving needs is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(
            f"serve: the extra must be installed; got no {', '.join(missing)}. Run: pip install 'deepcolor[serve]'"
        )


def token_of(file: Path) -> str:
    """Return the token in a file: its first line.

    Raises:
        UserError: It cannot be read, or others than its owner may read it.
    """
    try:
        mode = file.stat().st_mode & 0o777
        text = read_plain(file, most_bytes=_MOST_TOKEN_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"--token-file: must be a file of text; got {file} ({reason}). Correct the path.") from error
    if mode & 0o077:
        raise UserError(
            f"--token-file: nobody else may be able to read it; got mode {mode:03o} ({file}). Run: chmod 600 {file}"
        )
    return text.partition("\n")[0].strip()


def _devices(workers: int | None, device: str, reporter: Reporter) -> tuple[str, ...]:
    """Where each process computes."""
    from deepcolor.execution.devices import on_gpu, slots

    share = _SHARE_A_GPU if workers is None and on_gpu(device) else None
    cut = slots(workers=workers, device=device, slots_per_gpu=share)
    if cut.note:
        reporter.warn(cut.note)
    check_room(workers=cut.workers)
    return cut.devices or ("cpu",) * cut.workers


def _exposed(host: str, others: str, *, port: int, has_token: bool) -> str:
    what = "have pictures coloured, and see the models" + (", with the token" if has_token else "")
    advice = "Pictures and the token travel unencrypted" if has_token else "Ask for a token with --token-file"
    return f"{host} is open to others at {others}: who reaches port {port} can {what}. {advice}"
