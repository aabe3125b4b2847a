"""The service's HTTP API: what the command line does, for other programs and other machines. The door to FastAPI."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import uvicorn
from fastapi import Body, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from deepcolor import __version__
from deepcolor.config.yamlfile import MAX_BYTES
from deepcolor.errors import DeepcolorError, StudyError, UserError, WorkspaceError
from deepcolor.printable import without_secrets
from deepcolor.service.api_page import api_page
from deepcolor.service.options import Options
from deepcolor.service.queue import Queue, UnknownSubmissionError
from deepcolor.service.record import MOST_PRIORITY, State, Submission
from deepcolor.service.requests import Action, NotYoursError, request, request_stop_of_trial
from deepcolor.service.submitting import Draft, take_in
from deepcolor.service.tokens import Tokens
from deepcolor.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]

_MOST_BYTES = 8 * MAX_BYTES
"""Of a request: a sweep file, and the code that it brings."""
_LONGEST_WAIT_S = 60.0
_LOOK_EVERY_S = 0.5
_UP_WITHIN_S = 60.0
_DOWN_WITHIN_S = 5.0
_USER = "deepcolor.user"
_NOTHING_FROM_ELSEWHERE = "default-src 'none'; style-src 'unsafe-inline'"


class SubmissionBody(BaseModel):
    """A sweep or a pipeline to be run."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(description="A whole sweep or pipeline file, in YAML; it names no other file.")
    code: dict[str, str] = Field(default_factory=dict, description="Code that it names: content by SHA-256.")
    priority: int = Field(0, ge=-MOST_PRIORITY, le=MOST_PRIORITY, description="Among the user's own submissions.")
    extend: bool = Field(default=False, description="Let its study grow to a sweep that has changed.")
    command: str = Field("", description="The line that reproduces it, for people.")
    own_name: str | None = Field(None, description="Pipelines: compete for champions of this name of their own.")
    force: bool = Field(default=False, description="Pipelines: make each best trial champion whatever the gate says.")


class SubmissionAnswer(BaseModel):
    """What is known of a submission; times in seconds since 1970."""

    id: str
    kind: str
    name: str
    studies: list[str]
    user: str
    priority: int
    state: State
    wish: str
    slots: int
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    message: str


class StatusAnswer(SubmissionAnswer):
    """The same with the trials of its studies."""

    trials: dict[str, dict[str, int]] = Field(description="By study: how many trials are in each state.")


class EventAnswer(BaseModel):
    """Something that has happened."""

    number: int
    at: float
    event: str
    submission: str
    name: str
    user: str
    message: str


class SaidAnswer(BaseModel):
    """What a request will do, in a line."""

    said: str


def make_app(workspace: Workspace, *, options: Options, tokens: Tokens, wake: Callable[[], None]) -> App:
    """Build the API of a service.

    Args:
        workspace: Whose queue it shows.
        options: What may be submitted, and who may change what others have.
        tokens: Who may use it.
        wake: Called when there is something new to do.
    """
    api = FastAPI(
        title="deepcolor service",
        version=__version__,
        description="Submit sweeps and pipelines, follow them, pause and cancel them.",
        dependencies=[Depends(HTTPBearer(auto_error=False, description="The token of a user."))],
        # FastAPI's own pages would be fetched from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    _add_reading(api, workspace)
    _add_changing(api, workspace, options=options, wake=wake)

    @api.exception_handler(DeepcolorError)
    def refuse(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": without_secrets(str(error))}, status_code=_status_of(error))

    @api.get("/healthz", tags=["service"])
    def healthz() -> dict[str, str]:
        """Say that the service is up; needs no token."""
        return {"status": "ok", "version": __version__}

    @api.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        """Show what can be asked to a browser; needs no token."""
        return HTMLResponse(api_page(api.openapi()), headers={"Content-Security-Policy": _NOTHING_FROM_ELSEWHERE})

    @api.get("/", include_in_schema=False)
    def front() -> RedirectResponse:
        """Lead whoever opens the service's address in a browser to that page."""
        return RedirectResponse("docs")

    @api.exception_handler(RequestValidationError)
    def explain(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"request: {where}: {first['msg']}. See /docs."}, status_code=422)

    return _Gate(api, tokens)


def _add_reading(api: FastAPI, workspace: Workspace) -> None:
    """What everybody with a token may see."""
    queue = Queue(workspace)

    @api.get("/api/submissions", tags=["submissions"])
    def submissions(state: Annotated[State | None, Query()] = None) -> list[SubmissionAnswer]:
        """List what has been submitted, by time."""
        return [SubmissionAnswer(**one.as_dict()) for one in queue.all() if state in {None, one.state}]

    @api.get("/api/submissions/{name}", tags=["submissions"])
    def status(name: str) -> StatusAnswer:
        """Show the latest submission of a study, a pipeline, or with an identity."""
        one = queue.find(name)
        return StatusAnswer(**one.as_dict(), trials=_trials_of(workspace, one))

    @api.get("/api/events", tags=["events"])
    def events(
        after: Annotated[int, Query(ge=0, description="The number of the last event that is known.")] = 0,
        wait_s: Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S, description="Wait for one for so long.")] = 0.0,
    ) -> list[EventAnswer]:
        """Say what has happened since an event."""
        deadline = time.monotonic() + wait_s
        while not (found := queue.happened(after=after)) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        return [EventAnswer(**vars(one)) for one in found]


def _add_changing(api: FastAPI, workspace: Workspace, *, options: Options, wake: Callable[[], None]) -> None:
    """What changes something; what others have submitted is left to them and to admins."""
    queue = Queue(workspace)

    def may_change(request_: Request) -> Callable[[Submission], bool]:
        user = _user(request_)
        return lambda one: one.user == user or user in options.admins

    @api.post("/api/submissions", status_code=201, tags=["submissions"])
    def submit(body: Annotated[SubmissionBody, Body()], request_: Request) -> SubmissionAnswer:
        """Put a sweep or a pipeline into the queue."""
        draft = Draft(**dict(body))
        made = take_in(draft, workspace=workspace, user=_user(request_), allow_code=options.allow_code)
        wake()
        return SubmissionAnswer(**made.as_dict())

    @api.post("/api/submissions/{name}/{action}", tags=["submissions"])
    def change(name: str, action: Action, request_: Request) -> SubmissionAnswer:
        """Pause, resume or cancel it; what runs ends its epoch first, and every trial is kept."""
        after = request(queue, name, action, allowed=may_change(request_))
        wake()
        return SubmissionAnswer(**after.as_dict())

    @api.post("/api/studies/{study}/trials/{trial}/stop", tags=["studies"])
    def stop(study: str, trial: int, request_: Request) -> SaidAnswer:
        """End one trial of a study that was submitted; the study goes on."""
        by, allowed = _user(request_), may_change(request_)
        return SaidAnswer(said=request_stop_of_trial(workspace, study, trial, by=by, allowed=allowed))


class _Gate:
    """Turns away whoever shows no token, and requests that are too large, before anything of them is read."""

    def __init__(self, app: App, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] == "http" and str(scope["path"]).startswith("/api"):
            headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
            scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            user = self._tokens.user_of(token.strip()) if scheme.lower() == "bearer" else None
            if user is None:
                await _refuse(send, 401, "token: must be one that the service knows; got none or another one.")
                return
            length = headers.get(b"content-length", b"0")
            if b"transfer-encoding" in headers or not length.isdigit() or int(length) > _MOST_BYTES:
                await _refuse(send, 413, f"request: must say its length, {_MOST_BYTES} bytes at most.")
                return
            scope[_USER] = user
        await self._app(scope, receive, send)


async def _refuse(send: Send, status: int, message: str) -> None:
    content = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _user(request_: Request) -> str:
    user: str = request_.scope[_USER]
    return user


def _status_of(error: Exception) -> int:
    match error:
        case UnknownSubmissionError():
            return 404
        case NotYoursError():
            return 403
        case StudyError():
            return 409
        case WorkspaceError():
            return 503
        case UserError():
            return 400
        case _:
            return 500


def _trials_of(workspace: Workspace, one: Submission) -> dict[str, dict[str, int]]:
    from deepcolor.app.studies import STATES, standing_of

    found = {}
    for study in one.studies:
        try:
            standing = standing_of(workspace, study)
        except StudyError:  # It has not begun yet.
            continue
        states = [standing.state(trial) for trial in standing.trials]
        found[study] = {state: states.count(state) for state in STATES}
    return found


@contextmanager
def serving(app: App, at: socket.socket) -> Iterator[None]:
    """Answer requests in a thread while the block runs."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, name="deepcolor-http", daemon=True)
    thread.start()
    deadline = time.monotonic() + _UP_WITHIN_S
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_DOWN_WITHIN_S)
