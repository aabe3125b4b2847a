from __future__ import annotations

import base64
import io
import json
import os
import random
import signal
import socket
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import deepcolor
from deepcolor.app.serve import Server, serving
from deepcolor.errors import ModelError, UserError
from deepcolor.inference import load
from deepcolor.registry.names import Line
from deepcolor.registry.versions import rollback
from deepcolor.serving import bodies, running
from deepcolor.serving.work import Bounds
from deepcolor.workspace import Workspace
from tests.browsing import assert_accessible, chromium
from tests.processes import WAIT_S, descendants, is_alive
from tests.registry.world import World, make_model, shared_world
from tests.reliability.processes import start, wait_until
from tests.reporting import Heard
from tests.serving.asking import FORM, JSON, Answer, Client, form_of, many

BOUNDS = Bounds(request_bytes=2**18, megapixels=1, seconds=60, pictures=6, waiting=12)
WORKERS = 2


@dataclass(frozen=True)
class Served:
    """A server of the best of two versions, which its alias names."""

    world: World
    server: Server
    client: Client
    heard: Heard

    @property
    def processes(self) -> list[int]:
        """Those that colour, once all are there: one that has just been started is not told apart from others yet."""
        own: list[int] = []

        def are_there() -> bool:
            own[:] = [pid for pid in descendants(os.getpid()) if _is_of_serving(pid)]
            return len(own) == WORKERS

        wait_until(are_there, "all processes that colour are there")
        return own


def _is_of_serving(pid: int) -> bool:
    with suppress(OSError):  # The kernel is told to end these first where memory runs out; no others are.
        return is_alive(pid) and Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    world = shared_world(tmp_path_factory).copy(tmp_path_factory.mktemp("serve") / "world")
    world.promote(2)
    world.promote(0)
    heard = Heard()
    with (
        serving(
            "colorizer@champion",
            workspace=Workspace.at(world.root),
            tracking_uri=world.uri,
            port=0,
            workers=WORKERS,
            device="cpu",
            bounds=BOUNDS,
            follow_s=3600,
            reporter=heard,
        ) as server,
        server.running.in_background(),
    ):
        yield Served(world, server, Client(server.url), heard)


def photo(width_px: int = 90, height_px: int = 60, *, seed: int = 0, kind: str = "PNG") -> bytes:
    """A picture with soft shapes in it, as a file."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8), np.uint8)
    image = Image.fromarray(noise).resize((width_px, height_px), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_a_picture_is_coloured_alike_however_it_is_sent(served: Served) -> None:
    """As it is, in a form, several in a form and in JSON: what comes back is what the model makes of the file."""
    data, client = photo(), served.client
    text = base64.b64encode(data).decode()
    expected = load(served.world.models[0], device="cpu").colorize(data).astype(int)
    several = client.colorize(form_of(("a.png", data), ("b.png", data)), kind=FORM).json
    in_json = client.colorize(json.dumps({"images": [text, {"name": "b", "image": text}]}).encode(), kind=JSON).json
    assert [each["name"] for each in several["pictures"]] == ["a.png", "b.png"]
    assert {each["width"] for each in in_json["pictures"]} == {90}
    encoded = [each["image"] for answer in (several, in_json) for each in answer["pictures"]]
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in encoded]
    for kind, body in (("image/png", data), ("application/octet-stream", data), (FORM, form_of(("a.png", data)))):
        answer = client.colorize(body, kind=kind)
        assert answer.headers["x-deepcolor-model"] == served.server.model == "colorizer@2"
        pictures.append(answer.pixels)
    assert len(pictures) == 7
    for each in pictures:
        # Those coloured together may differ in the last bit before they are rounded.
        assert np.abs(each.astype(int) - expected).max() <= 1


def test_the_answer_has_the_format_quality_and_size_asked_for(served: Served) -> None:
    """PNG, JPEG and WebP; less quality is fewer bytes; the longer side is made smaller, never larger; 0 is grey."""
    data, client = photo(240, 160), served.client
    for kind in ("png", "jpeg", "webp"):
        image = client.colorize(data, f"format={kind}&size=120").image
        assert (image.format, image.size) == (kind.upper(), (120, 80))
    assert client.colorize(data, "size=5000").image.size == (240, 160)
    good, poor = (client.colorize(data, f"format=jpeg&quality={quality}").content for quality in (95, 20))
    assert len(poor) < len(good)
    grey = client.colorize(data, "saturation=0").pixels.astype(int)
    assert np.ptp(grey, axis=2).max() <= 1
    opaque = Image.new("RGBA", (64, 64), (10, 20, 30, 0))
    buffer = io.BytesIO()
    opaque.save(buffer, "PNG")
    assert client.colorize(buffer.getvalue()).image.mode == "RGBA"
    assert client.colorize(buffer.getvalue(), "format=jpeg").pixels.min() > 250  # On white.


@pytest.mark.parametrize(
    "case",
    [
        ("", "image/png", photo()[:400], 422, "a truncated file"),
        ("", "image/png", b"hello", 422, "a file of another kind"),
        ("", "image/png", b"", 422, "an empty file"),
        ("", "image/png", photo(1200, 1000), 422, "more than 1 megapixels"),
        ("", "image/png", bytes(2**18 + 1), 413, "at most 262,144 bytes"),
        ("", "image/png", bytes(2**24), 413, "at most 262,144 bytes"),
        ("", "image/svg+xml", b'<svg><image href="file:///etc/passwd"/></svg>', 422, "a file of another kind"),
        ("", FORM, form_of(*[("a.png", b"x")] * 7), 400, "Maximum number of files is 6"),
        ("", FORM, form_of(*[("a.png", b"x")] * 2000), 400, "Maximum number of files is 6"),
        ("", FORM, b"--elsewhere\r\nnothing", 400, "must be multipart/form-data with files"),
        ("", FORM, form_of(), 400, "must hold a picture"),
        ("", "multipart/form-data", b"x", 400, "must be multipart/form-data with files"),
        ("", JSON, b'{"images": [', 400, "must be JSON"),
        ("", JSON, b"[" * 100_000, 400, "must be JSON"),
        ("", JSON, b'{"images": [' + b"{}," * 80_000 + b"{}]}", 400, "too many other values"),
        ("", JSON, b'{"pictures": []}', 400, "BASE64"),
        ("", JSON, json.dumps({"images": ["aGk="] * 7}).encode(), 413, "at most 6"),
        ("", JSON, b'{"image": "/etc/passwd"}', 400, "Paths and addresses are not read"),
        ("", JSON, b'{"image": "http://127.0.0.1/a.png"}', 400, "Paths and addresses are not read"),
        ("", JSON, b'{"image": {"name": "a", "image": 7}}', 400, "must be text in base64"),
        ("", "text/plain", photo(), 415, "'text/plain'"),
        ("model=colorizer@9", "image/png", photo(), 404, "colorizer@2"),
        ("model=/etc", "image/png", photo(), 404, "STAGE@ALIAS"),
        ("model=http://127.0.0.1/m", "image/png", photo(), 404, "STAGE@ALIAS"),
        ("saturation=nan", "image/png", photo(), 422, "finite"),
        ("saturation=9", "image/png", photo(), 422, "less than or equal to 3"),
        ("size=1", "image/png", photo(), 422, "greater than or equal to 16"),
        ("format=gif", "image/png", photo(), 422, "'png', 'jpeg' or 'webp'"),
        ("quality=0", "image/png", photo(), 422, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_coloured_is_refused_with_its_reason(
    served: Served, case: tuple[str, str, bytes, int, str]
) -> None:
    """Broken, too large, too many, of another kind, a path, out of range: each has its status and its reason."""
    query, kind, body, status, reason = case
    answer = served.client.colorize(body, query, kind)
    assert (answer.status, reason in answer.reason) == (status, True), answer.content[:500]


def test_one_broken_picture_of_several_has_its_error_and_the_others_are_coloured(served: Served) -> None:
    """The answer has a place for each, in order, and an error names its picture, whatever it is called."""
    name = "../../etc/passwd\x1b[2J.png"
    answer = served.client.colorize(form_of(("a.png", photo()), (name, b"junk"), ("c.png", photo())), kind=FORM)
    one, other, third = answer.json["pictures"]
    assert "image" in one
    assert "image" in third
    assert "a file of another kind" in other["error"]
    assert "\\x1b[2J.png" in other["error"]


def test_what_waits_is_coloured_together_and_what_is_too_much_is_told_to_try_again(served: Served) -> None:
    """While all processes stand still, pictures of several clients wait up to a bound; then they are coloured in fewer
    passes than there are pictures.
    """
    client, processes = served.client, served.processes
    batches = client.metric("deepcolor_batch_pictures_count")
    coloured = client.metric("deepcolor_batch_pictures_sum")
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    with many(BOUNDS.waiting) as submit:
        try:
            asked = [submit(client.colorize, photo(seed=seed)) for seed in range(BOUNDS.waiting)]
            wait_until(lambda: client.metric("deepcolor_waiting_pictures") >= BOUNDS.waiting - 2 * WORKERS, "they wait")
            wait_until(lambda: client.colorize(photo()).status == 503, "there is no room")
            refused = client.colorize(photo())
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        assert [each.result().status for each in asked] == [200] * BOUNDS.waiting
    assert (refused.status, "Try again in" in refused.reason) == (503, True)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    passes = client.metric("deepcolor_batch_pictures_count") - batches
    assert client.metric("deepcolor_batch_pictures_sum") - coloured == BOUNDS.waiting
    assert passes < BOUNDS.waiting


def test_the_death_of_a_process_costs_no_request(served: Served) -> None:
    """Killed while they have pictures, processes are replaced, and the pictures are coloured by their successors."""
    client, processes = served.client, served.processes
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    with many(4) as submit:
        asked = [submit(client.colorize, photo(seed=seed)) for seed in range(4)]
        wait_until(lambda: client.metric("deepcolor_held_pictures") == 4, "the pictures have arrived")
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        assert [each.result().status for each in asked] == [200] * 4
    wait_until(lambda: client.get("/healthz").json["processes"] == WORKERS, "both have a successor")
    assert not set(processes) & set(served.processes)


def test_the_server_follows_its_alias_and_drops_no_request(served: Served) -> None:
    """While clients ask without a pause, the champion moves back and forth; each answer is of one of the two, all are
    good, and a version can be asked for by its number or alias whoever is champion.
    """
    client, world = served.client, served.world
    seen: list[Answer] = []
    with many(3) as submit:
        going = True

        def ask_on() -> None:
            while going:
                seen.append(client.colorize(photo()))

        clients = [submit(ask_on) for _ in range(3)]
        try:
            rollback(Line("colorizer"), tracking_uri=world.uri)
            moved = client.ask("POST", "/reload").json
            count = len(seen)
            wait_until(lambda: len(seen) >= count + 6, "the new one answers")
            rollback(Line("colorizer"), tracking_uri=world.uri)
            back = client.ask("POST", "/reload").json
        finally:
            going = False
        for each in clients:
            each.result()
    assert (moved["before"], moved["model"], back["model"]) == ("colorizer@2", "colorizer@1", "colorizer@2")
    assert {answer.status for answer in seen} == {200}
    assert {answer.headers["x-deepcolor-model"] for answer in seen} == {"colorizer@1", "colorizer@2"}
    assert served.heard.notes[-2:] == [
        "serving colorizer@1 now, colorizer@2 before",
        "serving colorizer@2 now, colorizer@1 before",
    ]
    for ref, model in (("colorizer@1", "colorizer@1"), ("colorizer@champion", "colorizer@2")):
        assert client.colorize(photo(), f"model={ref}").headers["x-deepcolor-model"] == model


def test_models_are_listed_with_their_figures_and_cards(served: Served) -> None:
    """Versions, aliases, data, figures on the test split; a card is that of a pulled model; OpenAPI names it all."""
    client = served.client
    listed = client.get("/models").json
    best, other = listed["models"]
    assert listed["follows_alias"] is True
    assert (best["model"], best["aliases"], best["default"], best["data"]) == (
        "colorizer@2",
        ["champion"],
        True,
        "faces",
    )
    assert (other["model"], other["default"]) == ("colorizer@1", False)
    assert 0 < best["test"]["mse"] < other["test"]["mse"]
    assert client.get("/models/colorizer@1/card").content.startswith(b"# deepcolor colorizer@1")
    paths = client.get("/openapi.json").json["paths"]
    assert {"/colorize", "/models", "/reload", "/healthz", "/metrics", "/votes"} <= set(paths)


def test_hostile_clients_leave_the_server_answering(served: Served) -> None:
    """Broken pictures, broken requests, connections that say nothing: after all of them a picture is coloured, and no
    process has grown in number.
    """
    client, chance, good = served.client, random.Random(0), photo()
    silent = [socket.create_connection(client.address) for _ in range(10)]
    for number in range(40):
        data = bytearray(good)
        for _ in range(chance.randint(1, 30)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        assert client.colorize(bytes(data[: chance.randrange(1, len(data))])).status in (200, 422), number
    end = b"Host: 127.0.0.1\r\nConnection: close\r\n"
    head = b"POST /colorize HTTP/1.1\r\nContent-Type: image/png\r\n" + end
    for request, status in (
        # It is told before it sends what it announces, and is not asked to.
        (head + b"Expect: 100-continue\r\nContent-Length: 999999999999\r\n\r\n", b"413"),
        (head + b"Content-Length: -1\r\n\r\n", b"400"),
        (head + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
        (head + b"Transfer-Encoding: chunked\r\n\r\nnumber\r\n", b"400"),
        (head + b"Origin: http://elsewhere.example\r\nContent-Length: 2\r\n\r\nab", b"403"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /models HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n", b"403"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n" + end + b"\r\n", b"404"),
        (b"HEAD / HTTP/1.1\r\n" + end + b"\r\n", b"200"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"403"),
    ):
        assert client.raw(request).split(b" ")[1] == status, request[:80]
    client.raw(head + b"Content-Length: 1000\r\n\r\nhalf", breaks_off=True)
    for connection in silent:
        connection.close()
    assert client.colorize(good).status == 200
    assert len(served.processes) == WORKERS
    assert not [warning for warning in served.heard.warnings if "fault" in warning]


def test_silent_connections_are_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One on which no request comes is closed, and so is one that has had its answer and asks nothing more."""
    monkeypatch.setattr(running, "_HEAD_S", 0.1)
    with socket.create_connection(served.client.address, timeout=WAIT_S) as silent:
        assert silent.recv(1) == b""

    def is_answered_then_closed() -> bool:
        with suppress(OSError), socket.create_connection(served.client.address, timeout=WAIT_S) as asking:
            asking.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            said = b"".join(iter(lambda: asking.recv(65536), b""))
            return said.startswith(b"HTTP/1.1 200")
        return False

    wait_until(is_answered_then_closed, "a connection has its answer, and is closed for its silence")


def test_senders_that_stand_still_give_their_room_back(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bodies that do not go on have taken all the room, each is refused after a while, and others are served."""
    head = b"POST /colorize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nx"
    with ExitStack() as opened:
        senders = [
            opened.enter_context(socket.create_connection(served.client.address, timeout=WAIT_S))
            for _ in range(BOUNDS.waiting)
        ]
        for sender in senders:
            sender.sendall(head)
        held = "deepcolor_held_pictures"
        wait_until(lambda: served.client.metric(held) == BOUNDS.waiting, "all the room is taken")
        assert served.client.colorize(photo()).status == 503
        monkeypatch.setattr(bodies, "_GRACE_S", 0.1)
        more = opened.enter_context(socket.create_connection(served.client.address, timeout=WAIT_S))
        senders.pop().close()
        wait_until(lambda: served.client.metric(held) < BOUNDS.waiting, "one has gone")
        more.sendall(head)
        assert more.recv(65536).startswith(b"HTTP/1.1 408")
    wait_until(lambda: served.client.metric(held) == 0, "the room is free again")
    assert served.client.colorize(photo()).status == 200


def test_votes_are_kept_counted_and_exported(served: Served) -> None:
    """A vote names two versions of the registry; anything else is refused and not written."""
    client = served.client

    def vote(**said: Any) -> int:
        return client.ask("POST", "/votes", json.dumps(said).encode(), kind=JSON).status

    one, other = "colorizer@1", "colorizer@2"
    assert [vote(left=one, right=other, better=better) for better in (one, other, other, None)] == [201] * 4
    assert vote(left=one, right=one, better=one) == 400
    assert vote(left=one, right=other, better="colorizer@3") == 400
    assert vote(left=one, right="=cmd()", better=None) == 404
    assert vote(left=one, right=7) == 422
    assert vote(left=one, right=one, better=one, more="x" * 2**16) == 413
    counted = {"one": one, "other": other, "one_better": 1, "other_better": 2, "neither": 1}
    assert client.get("/votes").json == {"pairs": [counted]}
    exported = client.get("/votes.csv").content.decode()
    assert exported.splitlines()[0] == "when,left,right,better"
    assert exported.splitlines()[1].endswith(f",{one},{other},{one}")
    assert exported == (served.world.root / "votes.csv").read_text()


def test_the_command_serves_a_folder_to_those_with_the_token_and_ends_with_its_processes(tmp_path: Path) -> None:
    """It prints where, asks for the token of its file everywhere but on the page and for its health, and Ctrl-C ends it
    and all of its processes.
    """
    make_model(tmp_path / "model", seed=1)
    file = tmp_path / "token"
    file.write_text("correct-horse-battery\n")
    file.chmod(0o600)
    words = ("serve", "model", "--port", "0", "--workers", "1", "--device", "cpu", "--token-file", "token", "--json")
    command = start(tmp_path, *words)
    wait_until(lambda: "\n" in command.text, "the server says where it is")
    said = json.loads(command.text.partition("\n")[0])
    client = Client(said["url"])
    wait_until(lambda: _answers(client), "the server answers")
    assert (said["model"], said["follows"]) == ("model", False)
    for shown, status in (("", 401), ("Bearer wrong", 401), ("Bearer correct-horse-battery", 200)):
        assert client.get("/models", {"Authorization": shown} if shown else None).status == status
        headers = {"Authorization": shown} if shown else None
        assert client.ask("POST", "/colorize", photo(), kind="image/png", headers=headers).status == status
    assert b"<title>deepcolor" in client.get("/").content
    started = descendants(command.pid)
    command.signal(signal.SIGINT)
    command.ends(0)
    wait_until(lambda: not any(is_alive(pid) for pid in started), "its processes end")
    assert "correct-horse" not in command.text


def _answers(client: Client) -> bool:
    with suppress(OSError):
        return client.get("/healthz").status == 200
    return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def test_a_model_is_served_from_python(tmp_path: Path, browser: Any) -> None:
    """For the time of a block: a picture is coloured by whoever shows the token, of which the page asks its user, in
    bfloat16 where that is asked for, and all processes end with it.
    """
    make_model(tmp_path / "model", seed=1)
    token = "correct-horse-battery"
    before = set(descendants(os.getpid()))
    given: Any = {"workers": 1, "device": "cpu", "bfloat16": True, "token": token, "workspace": tmp_path}
    with deepcolor.serve(tmp_path / "model", **given) as server:
        client = Client(server.url)
        assert (server.model, server.processes) == ("model", 1)
        assert client.colorize(photo()).status == 401
        shown = {"Authorization": f"Bearer {token}"}
        answer = client.ask("POST", "/colorize", photo(), kind="image/png", headers=shown)
        model = deepcolor.load(tmp_path / "model", device="cpu")
        np.testing.assert_array_equal(np.asarray(answer.image), model.colorize(photo(), bfloat16=True))
        assert (np.asarray(answer.image) != model.colorize(photo())).any()
        assert_page_asks_for_token(browser, server.url, token)
        own = {pid for pid in descendants(os.getpid()) if _is_of_serving(pid)} - before
        assert own
    wait_until(lambda: not any(is_alive(pid) for pid in own), "its processes end")
    with pytest.raises(ConnectionRefusedError):
        client.get("/healthz")


def test_what_cannot_be_served_is_refused_before_anything_starts(served: Served, tmp_path: Path) -> None:
    """A regressor, an unknown version, a port in use, a short token; an address of others' is warned of."""
    world = served.world
    regressor = make_model(tmp_path / "regressor", seed=1, stage="regressor")
    host, port = served.client.address

    def refused(model: str, **options: Any) -> str:
        place = Workspace.at(world.root)
        with pytest.raises(UserError) as error, serving(model, workspace=place, tracking_uri=world.uri, **options):
            pass
        return str(error.value)

    assert "got" in refused(str(regressor), port=0)
    assert "colorizer@2" in refused("colorizer@7", port=0)
    assert "Choose another --port" in refused("colorizer@1", host=host, port=port)
    assert "16 characters" in refused("colorizer@1", port=0, token="short")
    heard = Heard()
    options: dict[str, Any] = {"workspace": Workspace.at(world.root), "tracking_uri": world.uri, "workers": 1}
    with serving("colorizer@1", host="0.0.0.0", port=0, device="cpu", reporter=heard, **options) as server:
        assert server.follows is False
    assert "is open to others" in heard.warnings[0]
    with pytest.raises(ModelError):
        load("colorizer@7", tracking_uri=world.uri)


def test_the_page_shows_grey_coloured_and_truth_and_takes_a_blind_vote(
    served: Served, browser: Any, tmp_path: Path
) -> None:
    """In Chromium, as wide as a phone: photos are chosen and coloured, the divider follows a finger's drag and the
    keyboard, two versions are compared blind and the vote is kept, a picture and all of them are downloaded.
    """
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_S * 1000)
    files = {"grey.png": photo(), "colour.png": in_colour()}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, accept_downloads=True)
    context.set_default_timeout(WAIT_S * 1000)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(served.client.url)
    expect(page.locator("#version option")).to_have_count(2)
    assert page.input_value("#version") == "colorizer@2"
    page.set_input_files("#files", [tmp_path / name for name in files])
    expect(page.locator(".picture:not(.working) img.right[src^=blob]")).to_have_count(2)
    grey, colour = page.locator(".picture").all()
    assert grey.locator(".views").is_hidden()
    assert colour.locator(".views button").all_inner_texts() == ["Grey", "Truth"]
    colour.locator(".views button", has_text="Truth").focus()
    page.keyboard.press("Enter")
    expect(colour.locator(".views button", has_text="Truth")).to_be_focused()
    assert colour.locator(".left-label").inner_text() == "truth"
    assert_divider_moves(page, colour)
    page.select_option("#second", "colorizer@1")
    expect(grey.locator(".views button", has_text="colorizer@1")).to_be_visible()
    expect(page.locator(".working")).to_have_count(0)
    page.check("#blind")
    assert grey.locator(".label").all_inner_texts() == ["left", "right"]
    before = len(served.client.get("/votes.csv").content.splitlines())
    grey.get_by_text("Left is better").click()
    expect(grey.locator(".verdict")).to_contain_text("Kept")
    left = grey.locator(".left-label").inner_text()
    kept = served.client.get("/votes.csv").content.decode().splitlines()
    assert len(kept) == max(before, 1) + 1
    assert kept[-1].split(",")[1] == kept[-1].split(",")[3] == left
    page.uncheck("#blind")
    with page.expect_download() as one:
        grey.locator(".save").click()
    expected = served.client.colorize(files["grey.png"]).content
    assert Path(one.value.path()).read_bytes() == expected
    with page.expect_download() as every:
        page.click("#all")
    with zipfile.ZipFile(every.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["grey-coloured.png", "colour-coloured.png"]
        assert archive.read("grey-coloured.png") == expected
    page.locator("summary").click()
    expect(page.locator("#votes tbody td").first).to_have_text("colorizer@1")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert said == []
    context.close()


def test_the_page_says_what_is_wrong_and_sends_no_more_than_it_shows(
    served: Served, browser: Any, tmp_path: Path
) -> None:
    """In Chromium: a broken file and one that is too large have their reasons and nothing to download; without a
    network a photo is shown with a way to try again; of a large photo a small copy is sent, the whole one to download.
    """
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_S * 1000)
    files = {"broken.png": photo()[:200], "heavy.png": bytes(2**18 + 1), "wide.png": photo(3000, 30)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(WAIT_S * 1000)
    page = context.new_page()
    page.goto(served.client.url)
    expect(page.locator("#version option")).to_have_count(2)
    page.set_input_files("#files", [tmp_path / name for name in ("broken.png", "heavy.png")])
    broken, heavy = page.locator(".picture").all()
    expect(broken.locator(".problem")).to_contain_text("Must be a whole JPEG")
    expect(heavy.locator(".problem")).to_contain_text("Must be at most 0.25 MiB; got 0.25 MiB")
    expect(page.locator("#said")).to_have_text("2 photos, 2 with a problem")
    for picture in (broken, heavy):
        assert picture.locator(".save").is_disabled()
        assert [picture.locator(part).is_visible() for part in (".stage", ".again")] == [False, False]
    heavy.locator(".remove").click()
    expect(broken.locator(".remove")).to_be_focused()
    broken.locator(".remove").click()
    context.set_offline(True)
    page.set_input_files("#files", tmp_path / "wide.png")
    wide = page.locator(".picture")
    expect(wide.locator(".problem")).to_contain_text("The server does not answer")
    expect(wide.locator("img.left")).to_be_visible()
    assert_accessible(page)
    context.set_offline(False)
    with page.expect_request("**/colorize?*size=*") as small:
        wide.locator(".again").click()
    expect(page.locator(".picture:not(.working) img.right[src^=blob]")).to_have_count(1)
    with page.expect_request("**/colorize?*format=png*") as whole, page.expect_download():
        wide.locator(".save").click()
    sent = [int(one.value.all_headers()["content-length"]) for one in (small, whole)]
    assert sent[0] < sent[1] / 2
    assert sent[1] == len(files["wide.png"])
    context.close()


def test_photos_are_pasted_and_dropped(served: Served, browser: Any, tmp_path: Path) -> None:
    """In Chromium: a picture in the clipboard is pasted by keyboard, files are dropped on the page, and are coloured;
    with both shown, an accessibility check of the page finds nothing serious.
    """
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_S * 1000)
    (tmp_path / "dropped.png").write_bytes(in_colour())
    (tmp_path / "words.txt").write_text("no picture")
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(WAIT_S * 1000)
    page = context.new_page()
    page.goto(served.client.url)
    expect(page.locator("#version option")).to_have_count(2)
    copy = """async (base64) => {
        const blob = await (await fetch("data:image/png;base64," + base64)).blob();
        await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    }"""
    # The page's own policy lets it fetch from its server alone.
    elsewhere = context.new_page()
    elsewhere.goto(f"{served.client.url}/healthz")
    elsewhere.evaluate(copy, base64.b64encode(photo()).decode())
    page.bring_to_front()
    page.keyboard.press("Control+V")
    done = page.locator(".picture:not(.working) img.right[src^=blob]")
    expect(done).to_have_count(1)
    box = page.locator("#drop").bounding_box()
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    files = [str(tmp_path / name) for name in ("dropped.png", "words.txt")]
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    hand = context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver"):
        hand.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    expect(page.locator("#drop.over")).to_have_count(1)
    hand.send("Input.dispatchDragEvent", {"type": "drop", **at, "data": data})
    expect(done).to_have_count(2)
    expect(page.locator("#drop.over")).to_have_count(0)
    assert_accessible(page)
    context.close()


def assert_divider_moves(page: Any, picture: Any) -> None:
    """By a drag to a quarter of the width, and by a key from there."""
    stage, divider = picture.locator(".stage"), picture.locator(".divider")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle)
    page.mouse.up()
    assert float(divider.input_value()) == pytest.approx(25, abs=1)
    divider.focus()
    page.keyboard.press("ArrowRight")
    assert float(divider.input_value()) == pytest.approx(25.5, abs=1)


def assert_page_asks_for_token(browser: Any, url: str, token: str) -> None:
    """A wrong token is told beside its field; the right one lets in, and what cannot be compared is not offered."""
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_S * 1000)
    page = browser.new_page()
    page.goto(url)
    for given in ("wrong", token):
        page.locator("#token").fill(given)
        page.keyboard.press("Enter")
        if given != token:
            expect(page.locator("#token-said")).to_have_text("The server does not accept this token.")
    expect(page.locator("#access")).to_be_hidden()
    expect(page.locator("#version option")).to_have_text("model")
    assert not page.locator("#comparing").is_visible()
    page.close()


def in_colour() -> bytes:
    """A photo with colours of its own."""
    pixels = np.asarray(Image.open(io.BytesIO(photo())).convert("RGB")).copy()
    pixels[..., 0] //= 3
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
