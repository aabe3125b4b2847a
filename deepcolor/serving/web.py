"""The HTTP interface: what can be asked, and how it is answered."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field, ValidationError

import deepcolor
from deepcolor.coloring.manner import MOST_SATURATION
from deepcolor.errors import DeepcolorError, ModelError, UserError, WorkspaceError
from deepcolor.printable import without_secrets
from deepcolor.serving.bodies import Body, BodyError, Sent, announced_bytes, pour_away, read_body, read_small_body
from deepcolor.serving.crew import Crew, FullError
from deepcolor.serving.following import Follower
from deepcolor.serving.guard import HELD, App, Guard
from deepcolor.serving.models import Model, Models
from deepcolor.serving.tally import MEDIA_TYPE, Tally
from deepcolor.serving.votes import Votes
from deepcolor.serving.work import LEAST_SIZE_PX, MEDIA_TYPES, MOST_SIZE_PX, Answer, Bounds, Coloured, Order, Wanted

_PAGE = Path(__file__).parent / "page"
_PAGE_FILES = {f"/{file.name}".removesuffix("index.html"): file for file in sorted(_PAGE.iterdir())}
"""The page and what it loads, by their paths."""
_FREE = frozenset({*_PAGE_FILES, "/healthz", "/openapi.json", "/favicon.ico"})
"""Answered without a token: they tell nothing of models or pictures."""
_MODEL_HEADER, _GREY_HEADER, _REMARK_HEADER = "X-Deepcolor-Model", "X-Deepcolor-Grey", "X-Deepcolor-Remark"
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PICTURE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "image/*": {"schema": _PICTURE},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"files": {"type": "array", "items": _PICTURE}}}
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "string", "format": "byte"},
                    "images": {"type": "array", "items": {"type": "string", "format": "byte"}},
                },
            }
        },
    },
}


class Vote(BaseModel):
    """Which of two models coloured a picture better."""

    left: str = Field(max_length=200, description="The model shown on the left, such as colorizer@2.")
    right: str = Field(max_length=200, description="The other.")
    better: str | None = Field(max_length=200, description="One of them; null: neither.")


# Read by hand: FastAPI would take a body of any size, for any time.
_VOTE_BODY = {"required": True, "content": {"application/json": {"schema": Vote.model_json_schema()}}}


class Asked(BaseModel):
    """What the query of a request says."""

    model: str | None = Field(None, max_length=200, description="A version, such as colorizer@2; else the default.")
    format: Literal["png", "jpeg", "webp"] = Field("png", description="Of the result.")
    quality: int = Field(90, ge=1, le=100, description="Of JPEG and WebP.")
    size: int | None = Field(
        None, ge=LEAST_SIZE_PX, le=MOST_SIZE_PX, description="Longest side of the result in pixels; never enlarged."
    )
    saturation: float = Field(
        1.0, ge=0, le=MOST_SATURATION, allow_inf_nan=False, description="What the colours are multiplied by."
    )
    flip: bool = Field(False, description="Take the mean with the mirrored picture's colours: calmer.")

    def wanted(self) -> Wanted:
        return Wanted(self.format, self.quality, self.size, self.saturation, self.flip)


def make_app(
    models: Models,
    crew: Crew,
    follower: Follower,
    *,
    bounds: Bounds,
    votes: Votes,
    tally: Tally,
    token: str | None,
    hosts: frozenset[str] | None,
    fault: Callable[[str], None],
) -> App:
    """Return the application that answers requests.

    Args:
        models: Those that are served.
        crew: The processes that colour; started and ended with the application.
        follower: Makes another version the default; likewise.
        bounds: What clients may cost.
        votes: Where votes go.
        tally: Counts.
        token: What clients must show; None: nothing.
        hosts: The names that it answers to; None: any.
        fault: Is told of what should not have happened.
    """
    app = FastAPI(
        title="deepcolor",
        version=deepcolor.__version__,
        summary="Colours grey photos.",
        lifespan=_life(crew, follower),
        # Its pages would be fetched from elsewhere; /openapi.json is ours.
        docs_url=None,
        redoc_url=None,
    )
    _add_pictures(app, models, crew, bounds=bounds, tally=tally)
    _add_models(app, models, follower, bounds=bounds)
    _add_votes(app, models, votes, bounds=bounds)
    _add_watching(app, crew, tally)
    _add_page(app)
    app.add_exception_handler(DeepcolorError, _on_error)
    app.add_exception_handler(FullError, _on_full)
    app.add_exception_handler(BodyError, _on_body)
    paths = frozenset(str(getattr(route, "path", "")) for route in app.routes)
    send_s = 2 * bounds.seconds
    return Guard(app, paths=paths, free=_FREE, token=token, hosts=hosts, tally=tally, send_s=send_s, fault=fault)


def _life(crew: Crew, follower: Follower) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        try:
            await crew.start()
            await follower.start()
            yield
        finally:
            await follower.stop()
            await crew.stop()

    return life


def _add_pictures(app: FastAPI, models: Models, crew: Crew, *, bounds: Bounds, tally: Tally) -> None:
    @app.post(
        "/colorize",
        openapi_extra={"requestBody": _BODY},
        responses={
            200: {"content": {kind: {"schema": _PICTURE} for kind in MEDIA_TYPES.values()}, "description": "Coloured."},
            413: {"description": "Too many bytes or pictures."},
            422: {"description": "A picture that cannot be coloured."},
            503: {"description": "Too much is waiting; see Retry-After."},
        },
    )
    async def colorize(request: Request, asked: Annotated[Asked, Query()]) -> Response:
        """Colour pictures: one as it is or as a form's file gives a picture; several, or base64 in JSON, give JSON."""
        held: ExitStack = request.scope[HELD]
        try:
            held.enter_context(crew.room(pictures=1, size_bytes=announced_bytes(request, bounds)))
            model = models.named(None) if asked.model is None else await asyncio.to_thread(models.named, asked.model)
            body = await read_body(request, bounds)
        except (FullError, ModelError, BodyError) as error:
            await pour_away(request, bounds, reason=error)
            raise
        held.enter_context(crew.room(pictures=len(body.pictures) - 1, size_bytes=0))
        orders = [Order(sent.data, sent.name, asked.wanted()) for sent in body.pictures]
        answers = await crew.colour(model, orders)
        good = sum(isinstance(answer, Coloured) for answer in answers)
        tally.coloured(model.ref, good=good, refused=len(answers) - good)
        return _response(body, answers, model=model, wanted=asked.wanted())


def _response(body: Body, answers: list[Answer], *, model: Model, wanted: Wanted) -> Response:
    kind = MEDIA_TYPES[wanted.format]
    if body.as_json:
        pictures = [_entry(sent, answer, kind) for sent, answer in zip(body.pictures, answers, strict=True)]
        return JSONResponse({"model": model.ref, "pictures": pictures}, headers={_MODEL_HEADER: model.ref})
    (answer,) = answers
    if not isinstance(answer, Coloured):
        return JSONResponse({"detail": answer.reason}, 422)
    headers = {_MODEL_HEADER: model.ref, _GREY_HEADER: str(answer.is_grey).lower()}
    if answer.remark:
        headers[_REMARK_HEADER] = answer.remark.encode("ascii", "replace").decode()
    return Response(answer.content, media_type=kind, headers=headers)


def _entry(sent: Sent, answer: Answer, kind: str) -> dict[str, Any]:
    if not isinstance(answer, Coloured):
        return {"name": sent.name, "error": answer.reason}
    return {
        "name": sent.name,
        "type": kind,
        "width": answer.width_px,
        "height": answer.height_px,
        "was_grey": answer.is_grey,
        "remark": answer.remark,
        "image": base64.b64encode(answer.content).decode(),
    }


def _add_models(app: FastAPI, models: Models, follower: Follower, *, bounds: Bounds) -> None:
    limits = {"request_bytes": bounds.request_bytes, "megapixels": bounds.megapixels, "pictures": bounds.pictures}

    @app.get("/models")
    async def list_them() -> dict[str, Any]:
        """List the versions that can be asked for, and what a request may hold; `default` says which requests get that
        name none.
        """
        listed = await asyncio.to_thread(models.listed)
        return {"follows_alias": models.follows, "limits": limits, "models": listed}

    @app.get("/models/{model}/card")
    async def card(model: str) -> Response:
        """Return a version's model card, in Markdown."""
        named = await asyncio.to_thread(models.named, model)
        return Response(named.card, media_type="text/markdown")

    @app.post("/reload")
    async def reload() -> dict[str, Any]:
        """Look now whether the alias has moved; requests that have begun end with the model they began with."""
        before = models.default.ref
        await follower.look()
        return {"before": before, "model": models.default.ref}


def _add_votes(app: FastAPI, models: Models, votes: Votes, *, bounds: Bounds) -> None:
    @app.post("/votes", status_code=201, openapi_extra={"requestBody": _VOTE_BODY})
    async def vote(request: Request) -> dict[str, str]:
        """Write down which of two models coloured a picture better."""
        try:
            given = Vote.model_validate_json(await read_small_body(request, bounds))
        except BodyError as error:
            await pour_away(request, bounds, reason=error)
            raise
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error
        for ref in (given.left, given.right):
            await asyncio.to_thread(models.named, ref)
        if given.left == given.right or given.better not in (None, given.left, given.right):
            raise UserError("vote: must name two models, and as better one of them or null; got something else.")
        await asyncio.to_thread(votes.add, left=given.left, right=given.right, better=given.better)
        return {"kept": "yes"}

    @app.get("/votes")
    async def counts() -> dict[str, Any]:
        """Return how often each of two models was found better."""
        return {"pairs": await asyncio.to_thread(votes.counts)}

    @app.get("/votes.csv")
    async def export() -> Response:
        """Return all votes, one a line."""
        return Response(await asyncio.to_thread(votes.text), media_type="text/csv")


def _add_watching(app: FastAPI, crew: Crew, tally: Tally) -> None:
    tally.watch("deepcolor_waiting_pictures", "Pictures that wait.", lambda: crew.waiting)
    tally.watch("deepcolor_held_pictures", "Pictures that arrive, wait or are being coloured.", lambda: crew.held)
    tally.watch("deepcolor_processes", "Processes that colour.", lambda: crew.alive)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz")
    async def health() -> JSONResponse:
        """Say whether pictures can be coloured; 503 while no process is there."""
        alive = crew.alive
        content = {"status": "ok" if alive else "no process", "processes": alive, "of": crew.size}
        return JSONResponse(content, 200 if alive else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return figures for Prometheus."""
        return Response(tally.text(), media_type=MEDIA_TYPE)


def _add_page(app: FastAPI) -> None:
    def add(path: str, file: Path) -> None:
        @app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)
        async def page() -> FileResponse:
            return FileResponse(file, headers={"Content-Security-Policy": _CONTENT_POLICY})

    for path, file in _PAGE_FILES.items():
        add(path, file)


async def _on_error(_: Request, error: Exception) -> Response:
    missing = isinstance(error, ModelError)
    status = (
        404 if missing else 507 if isinstance(error, WorkspaceError) else 400 if isinstance(error, UserError) else 502
    )
    return JSONResponse({"detail": without_secrets(str(error))}, status)


async def _on_full(_: Request, error: Exception) -> Response:
    assert isinstance(error, FullError)
    return JSONResponse(
        {"detail": f"server: too much is waiting. Try again in {error.retry_s} s."},
        503,
        headers={"Retry-After": str(error.retry_s)},
    )


async def _on_body(_: Request, error: Exception) -> Response:
    assert isinstance(error, BodyError)
    return JSONResponse({"detail": error.reason}, error.status, headers={"Connection": "close"})
