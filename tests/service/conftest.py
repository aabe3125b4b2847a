"""A workspace with a queue, and its service's HTTP side on loopback; nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepcolor.addresses import listening
from deepcolor.service.client import Service
from deepcolor.service.options import Options
from deepcolor.service.queue import Queue
from deepcolor.service.tokens import read_tokens
from deepcolor.service.web import make_app, serving
from deepcolor.workspace import Workspace

SWEEP = """
study: {study}
stage: regressor
data: {{name: faces, size_px: 64}}
search: {{space: {{lr: [1e-1, 1e-2]}}}}
"""


@dataclass(frozen=True)
class Api:
    """The HTTP side, as two users see it."""

    workspace: Workspace
    url: str

    @property
    def queue(self) -> Queue:
        return Queue(self.workspace)

    def of(self, user: str) -> Service:
        return Service(self.url, token(user))

    def write(self, study: str, text: str = SWEEP) -> Path:
        path = self.workspace.root / f"{study}.yaml"
        path.write_text(text.format(study=study))
        return path


def token(user: str) -> str:
    return f"the-token-of-{user}-0123456789"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    workspace = Workspace.at(tmp_path_factory.mktemp("api"))
    tokens = workspace.root / "tokens"
    tokens.write_text("".join(f"{user} {token(user)}  # a user\n" for user in ("ann", "bob", "eve")))
    tokens.chmod(0o600)
    options = Options(admins=("eve",))
    app = make_app(workspace, options=options, tokens=read_tokens(tokens), wake=lambda: None)
    with closing(listening("127.0.0.1", 0, command="service")) as at, serving(app, at):
        yield Api(workspace, f"http://127.0.0.1:{at.getsockname()[1]}")
