"""The carrier over a real scheduler with TLS on loopback."""

from types import SimpleNamespace

import pytest

from fabfile.core import source_digest
from fabfile.core.contract import BadInput, Secret, Unreachable
from fabfile.workers import dask_engine, shard

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
    monkeypatch.setattr(dask_engine.Dask, "_all", lambda self: {"tcp://h:1", "tls://h:2"})
    assert carrier.workers() == {"tls://h:2"}
    with pytest.raises(BadInput, match="workers listen without TLS at tcp://h:1"):
        dask_engine.Dask(table)


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_files_that_are_not_there_are_named(table, name):
    setattr(table, name, "/x/none.pem")
    with pytest.raises(BadInput, match=f"dask.{name}: /x/none.pem: no such file"):
        dask_engine.Dask(table)
