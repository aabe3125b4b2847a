"""A service elsewhere, as the command line uses it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from deepcolor.addresses import LOOPBACK
from deepcolor.errors import DeepcolorError, StudyError, UserError
from deepcolor.printable import note_secrets, shown_uri
from deepcolor.service.requests import Action
from deepcolor.service.serving import service_of
from deepcolor.service.submitting import Draft
from deepcolor.service.tokens import own_token_file, token_in
from deepcolor.workspace import Workspace

_ANSWER_WITHIN_S = 60.0
_MOST_BYTES = 2**26


@dataclass(frozen=True)
class Service:
    """Where it is, and the token to show it."""

    url: str
    token: str = field(repr=False)

    @classmethod
    def at(cls, url: str, *, token_file: Path | None, workspace: Workspace) -> Service:
        """Name a service.

        Args:
            url: `http://HOST:PORT` or `https://HOST:PORT`.
            token_file: Holds the token; None: that of the service which runs in the workspace here.
            workspace: The one here.
        Raises:
            UserError: It is no URL, or there is no token.
        """
        note_secrets(url)
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise UserError(
                f"--service: must be http://HOST:PORT or https://HOST:PORT; got {shown_uri(url)}. Correct it."
            )
        if token_file is None:
            here = service_of(workspace)
            if here is None or here.url != url.rstrip("/"):
                raise UserError(
                    f"--service: needs a token; got none for {shown_uri(url)}. Give the file that holds it with "
                    "--token-file."
                )
            token_file = own_token_file(workspace)
        return cls(url.rstrip("/"), token_in(token_file))

    @property
    def warning(self) -> str:
        """What its user should know, in a line; empty where there is nothing."""
        parts = urlsplit(self.url)
        if parts.scheme == "https" or parts.hostname in LOOPBACK:
            return ""
        return f"--service: the token can be read along on its way to {self.url}; use https://"

    def submit(self, draft: Draft) -> dict[str, Any]:
        """Put a draft into its queue, and return the submission."""
        return dict(self._ask("POST", "/api/submissions", draft.as_dict()))

    def submissions(self) -> list[dict[str, Any]]:
        """Return what has been submitted, by time."""
        return list(self._ask("GET", "/api/submissions"))

    def status(self, name: str) -> dict[str, Any]:
        """Return one of them, with the trials of its studies."""
        return dict(self._ask("GET", f"/api/submissions/{quote(name, safe='')}"))

    def request(self, name: str, action: Action) -> dict[str, Any]:
        """Pause, resume or cancel one, and return how it stands then."""
        return dict(self._ask("POST", f"/api/submissions/{quote(name, safe='')}/{action}"))

    def stop_trial(self, study: str, trial: int) -> str:
        """Ask to end a trial, and return what will happen."""
        return str(self._ask("POST", f"/api/studies/{quote(study, safe='')}/trials/{trial}/stop")["said"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the service.

        Raises:
            UserError: It does not answer, does not know the token, or refuses what was asked.
            DeepcolorError: It has failed.
        """
        request = urllib.request.Request(  # noqa: S310  # its scheme has been checked
            self.url + path,
            data=json.dumps(body).encode() if body is not None else (b"" if method == "POST" else None),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with self._opener().open(request, timeout=_ANSWER_WITHIN_S) as answer:
                return json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            said = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
            raise UserError(
                f"--service: a deepcolor service must answer at {shown_uri(self.url)}; got {said}. Start it with: "
                "deepcolor service"
            ) from error

    def _opener(self) -> urllib.request.OpenerDirector:
        here = urlsplit(self.url).hostname in LOOPBACK
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        return urllib.request.build_opener(*handlers, *([urllib.request.ProxyHandler({})] if here else []))

    def _refused(self, error: urllib.error.HTTPError) -> DeepcolorError:
        try:
            said = str(json.loads(error.read(2**20))["error"])
        except (OSError, ValueError, KeyError, TypeError):
            said = f"the service at {shown_uri(self.url)} must be one of deepcolor's; got HTTP status {error.code}."
        if error.code == 401:
            return UserError(f"--token-file: {said.removeprefix('token: ')} Ask whoever runs {shown_uri(self.url)}.")
        if error.code >= 500 and error.code != 503:
            return DeepcolorError(f"service: {said}")
        return StudyError(said) if error.code in {403, 404, 409} else UserError(said)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token is shown to the service it is for, and to nobody else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
