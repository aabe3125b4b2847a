"""Pictures a second over HTTP: `deepcolor serve` and `mlflow models serve` of the same model, one after the other.

The model is registered by deepcolor, and both are asked on 127.0.0.1 by the same few clients: 128 px PNG, and drawn
photos of 12 megapixels as JPEG. Each request carries one picture, and what it takes is counted until the last byte is
back. MLflow's server takes base64 in JSON and gives base64 of PNG; deepcolor's takes files, and gives PNG, or JPEG.

    python benchmarks/serving.py --workspace WS --model transfer@champion [--seconds 20] [--memory 10000] [--quick]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_Server = Callable[[Path, str], AbstractContextManager[tuple[int, int]]]
_UP_WITHIN_S = 180
_SIDES = ("mlflow models serve", "deepcolor serve")


def main() -> None:
    """Measure both, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="with a registered model; without, one is made of drawn faces")
    parser.add_argument("--model", default="colorizer@champion")
    parser.add_argument("--bfloat16", action="store_true", help="of deepcolor's server")
    parser.add_argument("--clients", type=int, default=8, help="of small pictures; of large ones, a quarter")
    parser.add_argument("--seconds", type=float, default=20, help="for each row")
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--memory", type=int, default=0, help="requests after which memory is compared; 0: not")
    parser.add_argument("--quick", action="store_true", help="one megapixel, and a few seconds")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.megapixels = 3.0, 1.0
    with TemporaryDirectory() as name:
        folder = Path(name)
        workspace = options.workspace or made_workspace(folder / "workspace")
        small, large = pictures(folder, megapixels=options.megapixels)
        rows = measured(workspace, small, large, options)
    print(json.dumps(report(rows, options=vars(options)), indent=2, default=str))


def made_workspace(root: Path) -> Path:
    """Make a champion, as a user does."""
    from parts.product import run

    run([sys.executable, "-m", "deepcolor", "demo", "--workspace", str(root), "--quiet"])
    return root


def pictures(folder: Path, *, megapixels: float) -> tuple[bytes, bytes]:
    """Draw a picture of 128 px and a photo."""
    import cv2
    import numpy as np

    from deepcolor.data.drawn import draw_set

    (drawn,) = draw_set("fruit", folder / "drawn", count=1, size_px=1024, seed=0)
    image = np.asarray(cv2.imread(str(drawn)))
    small = cv2.imencode(".png", cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA))[1].tobytes()
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    large = cv2.resize(image, (width, width * 3 // 4), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, 3, large.shape[:2])[..., None]
    photo = np.clip(large + grain, 0, 255).astype(np.uint8)
    return small, cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def measured(workspace: Path, small: bytes, large: bytes, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Ask each server for a while, in each way."""
    rows = []
    few = max(2, options.clients // 4)
    servers: tuple[_Server, ...] = (mlflow_server, partial(deepcolor_server, bfloat16=options.bfloat16))
    for side, started in zip(_SIDES, servers, strict=True):
        with started(workspace, options.model) as (port, pid):
            ways = [(f"{side}, PNG", *_asking(side, "png"))]
            if side == "deepcolor serve":
                ways.append((f"{side}, JPEG", *_asking(side, "jpeg")))
            for way, path, kind, encode in ways:
                for what, data, clients in (("128 px", small, options.clients), ("large", large, few)):
                    body = encode(data)
                    one = burden(port, path, body, kind, clients=clients, seconds=options.seconds)
                    rows.append({"side": way, "what": what, "clients": clients, **one})
            if options.memory:
                path, kind, encode = _asking(side, "png")
                before = memory_mb(pid)
                burden(port, path, encode(small), kind, clients=options.clients, requests=options.memory)
                rows.append({"side": side, "what": "memory", "before_mb": before, "after_mb": memory_mb(pid)})
    return rows


def _asking(side: str, form: str) -> tuple[str, str, Any]:
    """Where a picture is sent, as what, and how it is written."""
    if side == "deepcolor serve":
        return f"/colorize?format={form}", "application/octet-stream", lambda data: data
    as_json = lambda data: json.dumps({"inputs": {"image": [base64.b64encode(data).decode()]}}).encode()  # noqa: E731
    return "/invocations", "application/json", as_json


def burden(
    port: int, path: str, body: bytes, kind: str, *, clients: int, seconds: float = 3600, requests: int = 10**9
) -> dict[str, Any]:
    """Ask again and again from several clients, for a time or a number of requests."""
    times: list[float] = []
    faults: list[str] = []
    lock, left = threading.Lock(), requests
    connections = [HTTPConnection("127.0.0.1", port, timeout=120) for _ in range(clients)]
    for connection in connections:
        _ask(connection, path, body, kind)  # Warm.
    began = time.perf_counter()

    def client(connection: HTTPConnection) -> None:
        nonlocal left
        while time.perf_counter() - began < seconds:
            with lock:
                left -= 1
                if left < 0:
                    return
            start = time.perf_counter()
            fault = _ask(connection, path, body, kind)
            with lock:
                faults.extend([fault] if fault else [])
                times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    good = len(times) - len(faults)
    figures = {"per_s": good / took, "p50_s": cuts[49], "p95_s": cuts[94], "p99_s": cuts[98]}
    return {**figures, "requests": len(times), "faults": faults[:3], "failed": len(faults)}


def _ask(connection: HTTPConnection, path: str, body: bytes, kind: str) -> str:
    connection.request("POST", path, body, {"Content-Type": kind})
    response = connection.getresponse()
    content = response.read()
    return "" if response.status == 200 else f"{response.status} {content[:200]!r}"


@contextmanager
def deepcolor_server(workspace: Path, model: str, *, bfloat16: bool) -> Iterator[tuple[int, int]]:
    """Run ours."""
    port = free_port()
    words = ["serve", model, "--workspace", str(workspace), "--port", str(port), "--device", "cpu"]
    words += ["--bfloat16"] if bfloat16 else []
    with running([sys.executable, "-m", "deepcolor", *words], f"http://127.0.0.1:{port}/healthz") as pid:
        yield port, pid


@contextmanager
def mlflow_server(workspace: Path, model: str) -> Iterator[tuple[int, int]]:
    """Run MLflow's, with the environment that is here."""
    port, (line, _, alias) = free_port(), model.partition("@")
    uri = f"models:/deepcolor-{line}/{alias}" if alias.isdigit() else f"models:/deepcolor-{line}@{alias}"
    words = ["models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{workspace.resolve() / 'mlruns' / 'mlflow.db'}"}
    with running([sys.executable, "-m", "mlflow", *words], f"http://127.0.0.1:{port}/ping", store) as pid:
        yield port, pid


@contextmanager
def running(command: list[str], health: str, environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a server until the block ends, with all that it starts."""
    from urllib.error import URLError
    from urllib.request import urlopen

    # Both may use all cores, whatever the benchmark was started with.
    everything = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        server = subprocess.Popen(
            command, env=everything | (environment or {}), stdout=nowhere, stderr=nowhere, start_new_session=True
        )
    try:
        deadline = time.monotonic() + _UP_WITHIN_S
        while time.monotonic() < deadline:
            if server.poll() is not None:
                sys.exit(f"{' '.join(command)}: ended with {server.returncode}")
            try:
                with urlopen(health, timeout=5):  # noqa: S310  # our own address
                    break
            except (URLError, OSError):
                time.sleep(0.2)
        yield server.pid
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(server.pid, number)
                server.wait(20)


def memory_mb(pid: int) -> float:
    """Memory that a process and all below it have set aside: what others share of files, and when, changes nothing."""
    below, kilobytes = [pid], 0
    for each in below:
        process = Path(f"/proc/{each}")
        try:
            below += [int(child) for task in (process / "task").iterdir() for child in _children(task)]
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # It has ended meanwhile.
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    return kilobytes / 1024


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def report(rows: list[dict[str, Any]], *, options: dict[str, Any]) -> dict[str, Any]:
    """Put each server's figures beside MLflow's."""
    base = {row["what"]: row["per_s"] for row in rows if row["side"] == f"{_SIDES[0]}, PNG"}
    table = [
        [
            row["side"],
            row["what"].replace("large", f"{options['megapixels']:g} megapixels"),
            row["clients"],
            f"{row['per_s']:.2f}",
            f"{row['per_s'] / base[row['what']]:.1f}",
            *(f"{1000 * row[name]:.0f}" for name in ("p50_s", "p95_s", "p99_s")),
            row["failed"],
        ]
        for row in rows
        if "per_s" in row
    ]
    memory = [row for row in rows if row["what"] == "memory"]
    grown = "; ".join(
        f"{row['side']}: {row['before_mb']:.0f} MB before, {row['after_mb']:.0f} MB after" for row in memory
    )
    return {
        "title": "Serving",
        "about": "One picture a request, over 127.0.0.1, by a few clients that ask without a pause. The ratio is to "
        "MLflow's server in the same run." + (f" Over {options['memory']:,} requests: {grown}." if memory else ""),
        "table": {
            "header": ["server", "pictures", "clients", "a second", "ratio", "p50 ms", "p95 ms", "p99 ms", "failed"],
            "rows": table,
        },
        "results": {"rows": rows},
        "options": options,
    }


if __name__ == "__main__":
    main()
