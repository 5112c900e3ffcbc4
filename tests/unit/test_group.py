"""A group's places: so many hosts are at work at once; one that only waits counts no more."""

import resource
import threading

import pytest

from fabfile.core import ssh

HOSTS = 6


class Host:
    """Counts who is at work; with waits, says so and goes on only when all have said it."""

    at_work, most = 0, 0
    lock, all_wait = threading.Lock(), None

    def __init__(self, name):
        self.host_name = name

    def converse(self, works, heard):
        with Host.lock:
            Host.at_work += 1
            Host.most = max(Host.most, Host.at_work)
        if works[self.host_name].get("waits"):
            with Host.lock:
                Host.at_work -= 1
            heard(self.host_name, {"t": "begin", "waits": True})
            Host.all_wait.wait(5)
            return "end"
        heard(self.host_name, {"t": "begin"})
        with Host.lock:
            Host.at_work -= 1
        return "end"


def conversed(**work):
    Host.at_work = Host.most = 0
    Host.all_wait = threading.Barrier(HOSTS)
    group = ssh.RoleGroup.from_connections([Host(f"h{number}") for number in range(HOSTS)])
    group.forks = 2
    works = {host.host_name: {"steps": [], **work} for host in group}
    return list(group.converse(works, lambda host, message: None).values())


def test_no_more_are_at_work_than_forks():
    assert conversed() == ["end"] * HOSTS
    assert Host.most <= 2


def test_hosts_that_wait_for_a_service_wait_together():
    # The barrier opens only when all six are there; with two places it would break.
    assert conversed(waits=True) == ["end"] * HOSTS
    assert Host.most <= 2


@pytest.mark.parametrize(
    "now, most, room, asked",
    [
        (1024, 4096, True, [(1000 + ssh._BESIDE, 4096)]),
        (4096, 4096, True, []),
        (1024, 1024, False, []),
        (1024, resource.RLIM_INFINITY, True, []),
    ],
)
def test_connections_are_kept_where_as_many_files_may_be_open(monkeypatch, now, most, room, asked):
    found = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (now, most))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: found.append(limits))
    assert ssh._room_for(1000) is room
    assert found == asked
