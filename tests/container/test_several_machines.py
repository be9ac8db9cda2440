"""Several machines of a job train together: two programs on this machine, which meet on loopback."""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.container.hosts import Hosts
from birdsod.errors import TrainingError
from birdsod.ssd import load_model

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from birdsod.recordio import Packed
    from tests.container.conftest import Laid

pytest.importorskip("torch")

# Both names are this machine's.
HOSTS = ["127.0.0.1", "localhost"]
LOOPBACK = "lo" if sys.platform.startswith("linux") else "lo0"
PATIENCE = 300


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def machines(tmp_path: Path, packed: Packed) -> list[Laid]:
    from tests.container.conftest import Laid

    both = [Laid(tmp_path / name, packed).both() for name in HOSTS]
    for name, laid in zip(HOSTS, both, strict=True):
        laid.set(threads="1", loader_threads="1", device="cpu", kv_store="dist_sync", early_stopping="false")
        laid.tell(laid.tree.resources, {"current_host": name, "hosts": HOSTS, "network_interface_name": LOOPBACK})
    return both


def started(machines: list[Laid]) -> list[subprocess.Popen[str]]:
    environment = {"MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    return [laid.start("train", environment=environment) for laid in machines]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    try:
        return [(process.wait(PATIENCE), *process.communicate()) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_machines_are_stopped_and_go_on_together(machines: list[Laid]) -> None:
    first, second = processes = started(machines)
    assert first.stdout is not None
    said = ""
    for line in first.stdout:
        said += line
        if "#quality_metric" in line:
            # As the service does, which tells every machine.
            for process in processes:
                process.send_signal(signal.SIGTERM)
            break
    (code, rest, complaints), (other, theirs, theirs_too) = ended([first, second])
    assert (code, other) == (0, 0), (complaints, theirs_too)
    assert "Setting: 2 processes train together, 1 on this machine; each has 2 of the 4 images of an update" in said
    assert "this is the model of what was learned so far" in rest
    assert "The log, the checkpoints and the model are those of 127.0.0.1" in theirs
    assert "#quality_metric" not in theirs
    leader, follower = (laid.tree for laid in machines)
    assert (leader.checkpoints / "state.safetensors").exists()
    assert list(follower.checkpoints.iterdir()) == []
    assert not follower.model.exists()
    (code, said, complaints), (other, _, theirs_too) = ended(started(machines))
    assert (code, other) == (0, 0), (complaints, theirs_too)
    assert "Going on after update" in said
    assert said.splitlines()[-1].endswith(f"Wrote the model to {leader.model}")
    assert load_model(leader.model).classes == machines[0].packed.class_table
    assert not follower.model.exists()


def test_machines_with_other_data_fail_and_say_why(machines: list[Laid]) -> None:
    folder = machines[1].tree.data / "validation"
    (folder / "validation.rec").write_bytes(machines[1].packed.channels["train"].rec.read_bytes())
    (code, _, _), (other, _, _) = ended(started(machines))
    assert (code, other) == (1, 1)
    reasons = [laid.tree.failure.read_text() for laid in machines]
    assert "process 1 of the 2 that train together failed" in reasons[0]
    for reason in reasons:
        assert "this process has other data or settings than the first" in reason


def test_where_machines_meet() -> None:
    hosts = Hosts(("algo-1", "algo-2"), "algo-2", "eth0")
    met: Any = hosts.machines({})
    assert (met.count, met.number, met.address, met.port, met.interface) == (2, 1, "algo-1", 29500, "eth0")
    met = hosts.machines({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "5000"})
    assert (met.address, met.port) == ("127.0.0.1", 5000)
    assert Hosts(("algo-1",), "algo-1").machines({}) is None
    for port in ("", "many", "0", "65536"):
        with pytest.raises(TrainingError, match="MASTER_PORT is no port"):
            hosts.machines({"MASTER_PORT": port})
