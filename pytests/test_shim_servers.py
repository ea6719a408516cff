"""The same faults in ten servers that know nothing of it: each serves below the shim, fails an
accept, is slow in one, loses a worker; each is seen in the history and in the server's processes.
"""

from __future__ import annotations

import errno
import itertools
import signal

import pytest

from masterwork.tree import is_alive, wait_until
from shim_rig import PATIENCE_S, Firing, Server, make, one  # noqa: F401 (a fixture)
from shim_servers import SERVERS

pytestmark = pytest.mark.unsanitized("these are other people's servers")

ALL = pytest.mark.parametrize("name", SERVERS)


def until_fired(server: Server, count: int = 1) -> list[Firing]:
    """Makes requests until faults have fired and been written."""
    found: list[Firing] = []

    def fired() -> bool:
        nonlocal found
        server.get()
        found = server.firings()
        return len(found) >= count
    assert wait_until(fired, PATIENCE_S), (server.status(), server.log())
    return found


def check_place(server: Server, firing: Firing) -> None:
    assert firing.place.startswith(server.kind.module), firing
    module, _, address = firing.place.partition("+")
    assert int(address, 16) > 0


@ALL
def test_it_serves_with_a_worker_that_is_known_as_one(make, name):
    server = make(name)
    server.start("net.accept delay=1us role=worker slot=0", "net.listen delay=1us role=master")
    assert server.serves(), server.log()
    found = until_fired(server, 2)
    listen = next(f for f in found if f.point == "net.listen")
    accept = next(f for f in found if f.point == "net.accept")
    assert server.process and listen.pid == server.process.pid and listen.slot == -1
    assert accept.pid in server.children(), "a worker is a child of the process that was started"
    check_place(server, accept)


@ALL
def test_an_accept_fails_with_emfile(make, name):
    server = make(name)
    server.start()
    assert server.serves(), server.log()
    server.arm("net.accept errno=EMFILE nth=1 role=worker")
    firing = until_fired(server)[0]
    assert (firing.point, firing.did) == ("net.accept", f"errno={errno.EMFILE}")
    assert firing.slot in range(server.kind.least_workers)
    check_place(server, firing)
    assert server.serves(), f"{name} does not serve again after one EMFILE: {server.log()}"
    rule, = server.status()
    assert rule["fired"] == 1 and len(server.firings()) == 1


@ALL
def test_an_accept_takes_50_ms_longer(make, name):
    server = make(name)
    server.start()
    assert server.serves(), server.log()
    server.arm("net.accept delay=50ms times=3 role=worker slot=0")

    def all_fired() -> bool:
        assert server.get() == "hello\n"
        return server.status()[0]["fired"] == 3
    assert wait_until(all_fired, PATIENCE_S), (server.status(), server.log())
    found = server.firings()
    assert {(f.point, f.did) for f in found} == {("net.accept", "delay=50000000")}
    # Seen from outside a worker that is ready before it is asked hides part of it; but it cannot
    # come to its next accept before the delay is over.
    pauses = [after.time_s - before.time_s for before, after in itertools.pairwise(found)]
    assert len(pauses) == 2 and min(pauses) >= 0.05


@ALL
def test_a_worker_crashes_at_its_7th_recv(make, name):
    server = make(name)
    server.start()
    assert server.serves(), server.log()
    before = server.children()
    server.arm("net.recv crash=SEGV nth=7 role=worker")
    firing = one(until_fired(server))
    assert (firing.point, firing.did) == ("net.recv", f"crash={int(signal.SIGSEGV)}")
    assert firing.call == 7 and firing.pid in before
    assert wait_until(lambda: not is_alive(firing.pid), PATIENCE_S)
    if not server.kind.replaces_workers:
        assert wait_until(server.reaped, PATIENCE_S), "it ends with its worker"
        return
    assert server.serves(), server.log()
    server.arm(f"net.accept delay=1us role=worker slot={firing.slot}")
    again = until_fired(server, 2)[-1]
    assert again.pid != firing.pid and again.pid in server.children() - before
    assert again.slot == firing.slot, "the new worker has the dead one's slot"
