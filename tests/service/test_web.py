from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest

from deepcolor.errors import DeepcolorError, StudyError, UserError
from deepcolor.service import serving
from deepcolor.service.client import Service
from deepcolor.service.submitting import Draft, read_draft
from tests.browsing import assert_accessible, chromium
from tests.service.conftest import SWEEP, Api, token


def ask(api: Api, path: str, *, user: str | None = "ann", body: bytes | None = None) -> tuple[int, Any]:
    """Ask without the client."""
    headers = {"Authorization": f"Bearer {token(user)}"} if user else {}
    request = urllib.request.Request(api.url + path, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_nothing_but_its_health_is_told_without_a_token(api: Api) -> None:
    """The health, and the description of the API, are everybody's; all else asks for a token, a right one."""
    assert ask(api, "/healthz", user=None)[1]["status"] == "ok"
    described = ask(api, "/openapi.json", user=None)[1]
    assert "/api/submissions/{name}/{action}" in described["paths"]
    for path in [path for path in described["paths"] if path.startswith("/api")]:
        assert ask(api, path, user=None)[0] == 401
        assert ask(api, path, user="mallory", body=b"{}")[0] == 401


def test_the_page_of_the_api_needs_no_network(api: Api) -> None:
    """`/docs`, to which `/` leads, lists every call and every field that can be given, has no script, and fetches
    nothing from anywhere; as wide as a phone it fits, and an accessibility check finds nothing serious.
    """
    described = ask(api, "/openapi.json", user=None)[1]
    with urllib.request.urlopen(api.url) as answer:
        assert answer.url == f"{api.url}/docs"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        page = answer.read().decode()
    for path, methods in described["paths"].items():
        assert all(f"<h2>{method.upper()} {path}</h2>" in page for method in methods)
    for field in described["components"]["schemas"]["SubmissionBody"]["properties"]:
        assert f"<code>{field}</code>" in page
    assert not any(part in page for part in ("<script", "src=", "://", "@import", "url("))
    with chromium() as browser:
        for width, scheme in ((390, "dark"), (1280, "light")):
            opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            opened.goto(api.url)
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
            assert_accessible(opened)
            opened.close()


def test_a_sweep_is_submitted_followed_and_cancelled(api: Api) -> None:
    """What one user submits, all see, with who it was; it is paused and cancelled by that user or an admin alone."""
    ann, bob, eve = api.of("ann"), api.of("bob"), api.of("eve")
    draft = read_draft(api.write("faces"), ["search.space.lr=[1e-3]"], priority=7)[0]
    made = ann.submit(draft)
    assert (made["state"], made["user"], made["priority"], made["studies"]) == ("queued", "ann", 7, ["faces"])
    assert [one["name"] for one in bob.submissions()] == ["faces"]
    assert bob.status("faces")["trials"] == {}
    with pytest.raises(StudyError, match="'faces' must not be submitted twice at a time; got one that ann"):
        bob.submit(draft)
    with pytest.raises(StudyError, match="must be your own; got faces"):
        bob.request("faces", "cancel")
    assert ann.request("faces", "pause")["state"] == "paused"
    assert eve.request("faces", "resume")["state"] == "queued"
    assert ann.request("faces", "cancel")["state"] == "cancelled"
    with pytest.raises(StudyError, match="cancel: must be asked of what is paused or queued or running; got faces"):
        ann.request("faces", "cancel")
    events = ask(api, "/api/events")[1]
    assert [one["event"] for one in events] == ["submitted", "paused", "resumed", "cancelled"]
    assert ask(api, f"/api/events?after={events[-2]['number']}")[1] == events[-1:]
    with pytest.raises(StudyError, match="Did you mean faces"):
        ann.status("faecs")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SWEEP + "training: {{loss: 'own.py:loss'}}", "training.loss: must name what is installed on the service"),
        (SWEEP + "training: {{loss: 'os.path:join'}}", "training.loss: must name what is installed on the service"),
        (SWEEP.replace("regressor", "os:system"), "stage: must name what is installed on the service"),
        (SWEEP.replace("}}}}", "}}, sampler: 'a.b:c'}}"), "search.sampler: must name what is installed"),
        (SWEEP.replace("}}}}", "}}, first: /etc/table.csv}}"), "search.first: must not be a file"),
        (SWEEP + "model: {{encoder_weights: /etc/secret.pth}}", "model.encoder_weights: must not be a file"),
        (SWEEP + "code: {{own.py: '0000'}}", "code: must name what is installed on the service; got own.py"),
        ("pipeline: {study}\nsweeps: [{{file: /etc/passwd}}]", "sweeps.0.file: must not be a file's name"),
        ("pipeline: {study}\nsweeps: [/etc/passwd]", "sweeps: must not be a file's name"),
        ("[1, 2]", "submission: must be a sweep or a pipeline in YAML; got list"),
        ("{study}: [", "YAML: must be readable"),
        (SWEEP.replace("{study}", "../outside"), "study: must be 1 to 100 letters"),
        ("a: " + "b" * 2**20, "submission: may have 1048576 bytes at most"),
    ],
)
def test_what_is_not_installed_cannot_be_submitted(api: Api, text: str, said: str) -> None:
    """Code by path or module, files of the service's own disk, and what is no sweep are refused in a line before
    anything of them is read.
    """
    with pytest.raises(UserError, match=said):
        api.of("bob").submit(Draft(text.replace("{study}", "refused").replace("{{", "{").replace("}}", "}")))
    assert "refused" not in [one.name for one in api.queue.all()]


def test_without_its_libraries_the_service_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is missing is one line with the command that installs it."""
    monkeypatch.delitem(sys.modules, "deepcolor.service.web")
    monkeypatch.delattr("deepcolor.service.web")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"got no uvicorn. Install them with: pip install 'deepcolor\[service\]'"):
        serving._web()


def test_what_is_no_request_is_refused_in_a_line(api: Api) -> None:
    """Too much, something else, and a number that is none: each has its status and one line."""
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc)
    connection.putrequest("POST", "/api/submissions")
    connection.putheader("Authorization", f"Bearer {token('ann')}")
    connection.putheader("Content-Length", str(9 * 2**20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    status, said = ask(api, "/api/submissions", body=b'{"text": 1}')
    assert (status, list(said)) == (422, ["error"])
    assert ask(api, "/api/submissions", body=b"{}")[0] == 422
    assert ask(api, "/api/events?after=-1")[0] == 422
    assert ask(api, "/api/submissions/..%2f..%2fetc/cancel", body=b"")[0] == 404


def test_a_service_that_is_not_there_or_is_none_is_said_in_a_line(api: Api) -> None:
    """A wrong token, no service, and another kind of server each have a message that says what to do."""
    with pytest.raises(UserError, match=r"--token-file: must be one that the service knows"):
        Service(api.url, token("mallory")).submissions()
    with pytest.raises(
        UserError, match=r"a deepcolor service must answer at http://127.0.0.1:1; got Connection refused"
    ):
        Service("http://127.0.0.1:1", token("ann")).submissions()
    with pytest.raises(DeepcolorError, match="must be one of deepcolor's; got HTTP status 404"):
        Service(api.url + "/elsewhere", token("ann")).submissions()
    with pytest.raises(UserError, match="needs a token"):
        Service.at("http://127.0.0.1:1", token_file=None, workspace=api.workspace)
