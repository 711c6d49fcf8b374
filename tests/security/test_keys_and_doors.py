"""A live session on the simulator with planted keys, on a Ray of its own whose doors want a token.

Strangers are refused at every door and the holder of the token is let in. Of the processes, only the executor and who
started it know a key; no file, page, table or log shows one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from spyhop.clock import NS_PER_S, WallClock

# both come with Ray, without types
grpc: Any = pytest.importorskip("grpc")
psutil: Any = pytest.importorskip("psutil")

# memory is read through and much is started: on a busy machine that takes minutes
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.storm]

ROOT = Path(__file__).parents[2]


def drawn(name: str) -> str:
    """Return a text that stands nowhere else."""
    return hashlib.sha256(f"planted for a test: {name}".encode()).hexdigest()


IN_ENVIRONMENT = {name: drawn(name) for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET")}
IN_DOTENV = {"DYDX_PRIVATE_KEY": drawn("DYDX_PRIVATE_KEY")}
IN_FALLBACK = {name: drawn(name) for name in ("api_key", "api_secret")}
PLANTED = [value.encode() for kept in (IN_ENVIRONMENT, IN_DOTENV, IN_FALLBACK) for value in kept.values()]
SIGNS = b"spyhop-test-secret"
"""What signs the requests to the simulator, in every process that imports it; outside of processes it must not be."""
ACTORS = {"conductor", "ensemble", "feed:BTCUSDT", "ledger", "risk"}
TOKEN, ANOTHER = drawn("token"), drawn("another token")
WITHIN_S = 240.0


class Session(msgspec.Struct, frozen=True):
    """A running session: the process that was started, its folder, and where its Ray listens."""

    pid: int
    folder: Path
    gcs: str
    dashboard: str


def children(pid: int) -> list[int]:
    """Return the processes below `pid`, at any depth."""
    return [each.pid for each in psutil.Process(pid).children(recursive=True)]


def command_of(pid: int) -> str:
    """Return its command line, "" of one that has left."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def environment(folder: Path, token: str = "") -> dict[str, str]:
    """Return the environment of a process that has `token`, or none."""
    kept = folder / ("token" if token == TOKEN else "another-token")
    kept.write_text(token)
    named = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(kept)}
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    quiet["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | quiet | (named if token else {"RAY_AUTH_MODE": "disabled"})


def until(holds: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Return what `holds` does when that is something, while the process lives."""
    clock = WallClock()
    deadline = clock.monotonic_ns() + int(WITHIN_S * NS_PER_S)
    while clock.monotonic_ns() < deadline and process.poll() is None:
        if found := holds():
            return found
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"it did not come to that; exit code {process.poll()}")


@pytest.fixture(scope="module")
def session(prepared_kernels: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("kept")
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in IN_DOTENV.items()))
    (folder / "config").mkdir()
    (folder / "config" / "config.json").write_text(json.dumps({"binance_testnet": IN_FALLBACK}))
    command = [sys.executable, "-m", "cluster.cli", "run", "--live", "--dashboard", "--profile", "eager"]
    command += [
        "--symbols",
        "BTCUSDT",
        "--leverage",
        "5",
        "--hours",
        "24",
        "--speed",
        "10",
        "--interval",
        "5",
        "--seed",
        "5",
    ]
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [*command, "--runs", str(folder / "runs")],
            cwd=folder, env=environment(folder, TOKEN) | IN_ENVIRONMENT,
            stdin=subprocess.PIPE, stdout=out, stderr=err, text=True,
        )  # fmt: skip
    assert process.stdin is not None
    try:
        process.stdin.write("live\n")
        process.stdin.close()
        said = folder / "err"
        dashboard = until(lambda: re.search(r"Ray dashboard: http://(\S+)", said.read_text()), process)[1]

        def gcs() -> re.Match[str] | None:
            commands = " ".join(command_of(pid) for pid in children(process.pid))
            return re.search(r"--gcs-address=(\S+)", commands)

        address = until(gcs, process)[1]
        # the executor's first question was signed, and everybody is there
        until(lambda: any(path.stat().st_size for path in folder.glob("runs/*/desks/*/desk.log")), process)
        yield Session(process.pid, folder, address, dashboard)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code = process.wait(120)
    assert code == 0, said.read_text()
    assert shown_in(files_of(folder, process.pid)) == []


def inside(session: Session, who: str, token: str) -> str:
    command = [sys.executable, "-m", "tests.security.inside", who, session.gcs, f"http://{session.dashboard}"]
    told = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=environment(session.folder, token),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def files_of(folder: Path, pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield every file that the session and its Ray left, but the two that hold the keys."""
    own = [folder / ".env", folder / "config" / "config.json"]
    rays = list(Path("/tmp/ray").glob(f"session_*_{pid}"))
    assert rays
    for path in [*folder.rglob("*"), *(path for ray in rays for path in ray.rglob("*"))]:
        if path.is_file() and path not in own:
            yield str(path), path.read_bytes()


def shown_in(texts: Iterable[tuple[str, bytes]], needles: Sequence[bytes] = (*PLANTED, SIGNS)) -> list[str]:
    """Return the names of the texts that show a key."""
    return [name for name, text in texts if any(needle in text for needle in needles)]


def actors(session: Session) -> dict[str, int]:
    """Return the process of every actor of the session, by the name that it logs under or Ray gave it."""
    told = json.loads(page(session, "/api/v0/actors?detail=1", TOKEN)[1])
    alive = [actor for actor in told["data"]["result"]["result"] if actor["state"] == "ALIVE"]
    return {actor["name"]: actor["pid"] for actor in alive if actor["ray_namespace"] == "spyhop"}


def page(session: Session, path: str, token: str, body: bytes | None = None, method: str = "GET") -> tuple[int, str]:
    """Return the code and the text of a page of the dashboard."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"http://{session.dashboard}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


DOORS = [
    ("GET", "/api/v0/actors", None),
    ("GET", "/api/v0/workers", None),
    ("GET", "/api/v0/tasks", None),
    ("GET", "/api/v0/logs?node_ip=127.0.0.1", None),
    ("GET", "/nodes?view=summary", None),
    ("GET", "/logical/actors", None),
    ("GET", "/api/cluster_status", None),
    ("GET", "/api/jobs/", None),
    ("POST", "/api/jobs/", b'{"entrypoint": "true"}'),
    ("POST", "/api/jobs/raysubmit_1/stop", b""),
    ("DELETE", "/api/jobs/raysubmit_1", None),
    ("GET", "/api/actors/kill?actor_id=00&force_kill=true", None),
    ("GET", "/api/serve/applications/", None),
    ("DELETE", "/api/serve/applications/", None),
]


@pytest.mark.parametrize(("method", "path", "body"), DOORS, ids=[f"{method} {path}" for method, path, _ in DOORS])
def test_no_page_of_the_dashboard_answers_a_stranger(
    session: Session, method: str, path: str, body: bytes | None
) -> None:
    assert page(session, path, "", body, method)[0] == 401
    assert page(session, path, ANOTHER, body, method)[0] == 403


def test_pages_answer_who_has_the_token_and_show_no_key(session: Session) -> None:
    pages = [(path, page(session, path, TOKEN)) for method, path, _ in DOORS if method == "GET" and "kill" not in path]
    assert {path: code for path, (code, _) in pages if code != 200 and "logs" not in path and "serve" not in path} == {}
    assert "feed:BTCUSDT" in dict(pages)["/api/v0/actors"][1]
    assert shown_in((path, text.encode()) for path, (_, text) in pages) == []


SERVICES = ("NodeInfoGcsService/GetAllNodeInfo", "NodeManagerService/GetNodeStats", "CoreWorkerService/PushTask")


def test_no_port_of_any_process_takes_a_call_without_the_token(session: Session) -> None:
    def called(ip: str, port: int, service: str, token: str) -> Any:
        host = "127.0.0.1" if ip in ("::", "0.0.0.0") else ip
        metadata = [("authorization", f"Bearer {token}")] if token else []
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            try:
                channel.unary_unary(f"/ray.rpc.{service}")(b"", timeout=5, metadata=metadata)
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    listening: list[tuple[str, str, int]] = []
    for pid in children(session.pid):
        # an idle worker may leave meanwhile
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            name = command_of(pid).split(" ")[0].rpartition("/")[2]
            for each in psutil.Process(pid).net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN:
                    listening.append((name, str(each.laddr.ip), int(each.laddr.port)))
    answers = {
        (name, port, service): [called(ip, port, service, token) for token in ("", ANOTHER)]
        for name, ip, port in listening
        for service in SERVICES
    }
    open_to = {who: codes for who, codes in answers.items() if grpc.StatusCode.OK in codes}
    assert open_to == {}
    refusing = {name for (name, _, _), codes in answers.items() if set(codes) == {grpc.StatusCode.UNAUTHENTICATED}}
    assert {"gcs_server", "raylet"} <= refusing
    assert any(name.startswith("ray::") for name in refusing)
    ip, _, port = session.gcs.partition(":")
    assert called(ip, int(port), SERVICES[0], TOKEN) is grpc.StatusCode.OK


@pytest.mark.parametrize("token", ["", ANOTHER], ids=["no token", "another token"])
def test_a_stranger_reaches_neither_conductor_nor_tables_nor_jobs(session: Session, token: str) -> None:
    answers = json.loads(inside(session, "stranger", token).splitlines()[-1])
    assert len(answers) == 6
    for door, answer in answers.items():
        if door.startswith("spyhop"):
            # in one sentence, see the tests of `cluster.rays`
            assert answer == "exit code 2", door
        else:
            assert re.search(r"(?i)auth|token|connect", answer), (door, answer)
    assert "conductor" in actors(session)


def test_what_ray_tells_the_holder_of_the_token_shows_no_key(session: Session) -> None:
    lines = [line.partition(": ") for line in inside(session, "holder", TOKEN).splitlines()]
    told = {name.split(" b'")[0]: value for name, _, value in lines}
    assert set(told) >= {
        "actors",
        "jobs",
        "workers",
        "runtime_envs",
        "gcs actors",
        "gcs workers",
        "gcs jobs",
        "metrics",
    }
    assert any(name.startswith("kv") for name in told)
    assert "feed:BTCUSDT" in told["actors"]
    assert "ray_spyhop_" in told["metrics"]
    assert shown_in((name, value.encode()) for name, _, value in lines) == []


def test_only_the_executor_and_who_started_it_know_a_key(session: Session) -> None:
    by_name = actors(session)
    assert len(set(by_name) & ACTORS) >= 4
    assert any(name.startswith("executor:") for name in by_name)
    below = list(children(session.pid))
    assert set(by_name.values()) <= set(below)
    for pid in below:
        for name in ("environ", "cmdline"):
            assert not shown_in([(name, Path(f"/proc/{pid}/{name}").read_bytes())]), command_of(pid)
    knowing = {name for name, pid in by_name.items() if shown_in(memory_of(pid), PLANTED)}
    assert knowing == {name for name in by_name if name.startswith("executor:")}


def memory_of(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield what a process has written in its memory, piece by piece."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            extent, rights, *_, name = line.split(maxsplit=5) + ([""] if len(line.split(maxsplit=5)) < 6 else [])
            if not rights.startswith("rw") or "plasma" in name or name.startswith(("[v", "/dev/")):
                continue
            first, last = (int(each, 16) for each in extent.split("-"))
            for at in range(first, last, PIECE):
                try:
                    memory.seek(at)
                    yield extent, memory.read(min(PIECE + OVERLAP, last - at))
                except OSError:
                    break


PIECE, OVERLAP = 1 << 24, 256


def test_the_daily_report_of_kubernetes_is_written_by_a_job(session: Session) -> None:
    kept = yaml.safe_load((ROOT / "k8s" / "base" / "daily-report.yaml").read_text())
    entrypoint: str = kept["spec"]["jobTemplate"]["entrypoint"]
    settings = session.folder / "spyhop.toml"
    settings.write_text(f"[session]\nruns = '{session.folder / 'runs'}'\n")
    for asked, here in (
        ("/etc/spyhop/spyhop.toml", str(settings)),
        ("/data/", f"{session.folder}/"),
        ("--paper", "--live"),
    ):
        assert asked in entrypoint
        entrypoint = entrypoint.replace(asked, here)
    # the operator puts it into a shell's line as it stands
    done = subprocess.run(
        ["bash", "-ec", f"ray job submit --address http://{session.dashboard} -- {entrypoint} ;"],
        check=False, env=environment(session.folder, TOKEN), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report: " in done.stdout
    (day,) = (session.folder / "reports").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", day.name)
    assert "<html" in (day / "hours.html").read_text()
    assert "live" in (day / "hours.json").read_text()
