"""The carrier over a real scheduler with TLS on loopback."""

import asyncio
import json
import pickle
import threading
from types import SimpleNamespace

import pytest

from fabfile.core import source_digest
from fabfile.core.contract import BadInput, Secret, Unreachable
from fabfile.workers import dask_engine, shard, wire

distributed = pytest.importorskip("distributed", reason="dask.distributed is missing: make dask")


@pytest.fixture(scope="module")
def security():
    return distributed.Security.temporary()


@pytest.fixture(scope="module")
def cluster(security):
    """A scheduler and a worker in this process."""
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tls://",
        security=security,
        dashboard_address=None,
        memory_limit=0,
    ) as made:
        yield made


@pytest.fixture
def table(cluster, security, tmp_path):
    found = SimpleNamespace(scheduler=cluster.scheduler_address)
    for name, text in (
        ("ca", security.tls_ca_file),
        ("cert", security.tls_client_cert),
        ("key", security.tls_client_key),
    ):
        (tmp_path / name).write_text(text)
        setattr(found, name, str(tmp_path / name))
    return found


@pytest.fixture
def carrier(table):
    made = dask_engine.Dask(table)
    yield made
    made.close()


def test_a_call_is_answered_by_the_worker_over_tls(carrier):
    (worker,) = carrier.workers()
    assert worker.startswith("tls://")
    name, there = carrier.call(worker, shard.here)
    assert (name, there) == ("0", source_digest.digest())


def test_what_goes_wrong_there_comes_back_as_words(carrier):
    (worker,) = carrier.workers()
    with pytest.raises(ConnectionError, match="'no such run'"):
        carrier.call(worker, shard.news, "no such run", None)


def test_a_secret_does_not_leave(carrier):
    (worker,) = carrier.workers()
    with pytest.raises(TypeError, match="a secret is not written anywhere"):
        carrier.call(worker, shard.begin, {"args": [Secret("k")]})


def test_a_scheduler_of_another_authority_is_refused(table, tmp_path):
    (tmp_path / "ca").write_text(distributed.Security.temporary().tls_ca_file)
    with pytest.raises(Unreachable, match="dask.scheduler: tls://"):
        dask_engine.Dask(table)


def test_where_no_scheduler_is(table, monkeypatch):
    monkeypatch.setattr(dask_engine, "TIMEOUT", 1)
    table.scheduler = "tls://127.0.0.1:1"
    with pytest.raises(Unreachable, match="dask.scheduler: tls://127.0.0.1:1"):
        dask_engine.Dask(table)


def test_a_worker_without_tls_is_refused(carrier, table, monkeypatch):
    monkeypatch.setattr(wire.Scheduler, "workers", lambda self: {"tcp://h:1", "tls://h:2"})
    assert carrier.workers() == {"tls://h:2"}
    with pytest.raises(BadInput, match="workers listen without TLS at tcp://h:1"):
        dask_engine.Dask(table)


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_files_that_are_not_there_are_named(table, name):
    setattr(table, name, "/x/none.pem")
    with pytest.raises(BadInput, match=f"dask.{name}: /x/none.pem: no such file"):
        dask_engine.Dask(table)


RAN = []


def run_here(where):
    RAN.append(threading.get_ident())


class Evil:
    """Notes in which thread it is unpickled."""

    def __reduce__(self):
        return run_here, ("x",)


async def evil(function, *args, dask_worker=None):
    return Evil()


async def evil_bytes(function, *args, dask_worker=None):
    return pickle.dumps(Evil())


async def evil_error(function, *args, dask_worker=None):
    raise ValueError(Evil())


@pytest.mark.parametrize("answer", [evil, evil_bytes, evil_error])
def test_a_workers_pickle_runs_nothing_here(carrier, monkeypatch, answer):
    RAN.clear()
    monkeypatch.setattr(wire, "answered", answer)
    (worker,) = carrier.workers()
    with pytest.raises(ConnectionError):
        carrier.call(worker, shard.here)
    # dask's worker, a thread of this process here, loads its own errors once.
    assert threading.get_ident() not in RAN and (not RAN or answer is evil_error)


def test_news_come_over_as_they_were():
    told = shard.News([("h", {"t": "busy", "who": "x"})], {"h": Unreachable("gone")}, ("w",))

    async def news():
        return told

    found = wire.heard(shard.news, asyncio.run(wire.answered(news)))
    assert (found.said, found.warnings) == (told.said, told.warnings)
    assert type(found.faults["h"]) is Unreachable and str(found.faults["h"]) == "gone"


GOOD = {"said": [], "faults": None, "warnings": []}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        *(
            json.dumps({"said": said}).encode()
            for said in (
                None,
                {},
                [GOOD],
                {**GOOD, "warnings": [1]},
                {**GOOD, "said": [["h", 1]]},
                {**GOOD, "said": [[1, {}]]},
                {**GOOD, "said": {"h": {}}},
                {**GOOD, "said": [["h", {}]]},
                {**GOOD, "warnings": ["\ud800"]},
                {**GOOD, "faults": {"h": ["SystemExit", "x"]}},
                {**GOOD, "faults": {"h": [[], "x"]}},
                {**GOOD, "faults": []},
            )
        ),
    ],
)
def test_news_of_another_shape_are_those_of_a_worker_that_is_gone(data):
    with pytest.raises(ConnectionError, match="its answer"):
        wire.heard(shard.news, data)
