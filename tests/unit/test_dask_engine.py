"""What is refused in words before a scheduler is asked, and what the default spares."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from fabfile.core.contract import BadInput
from fabfile.flow.session import Options, open_session
from fabfile.workers import dask_engine

from .states import site

TABLE = {"scheduler": "tls://127.0.0.1:8786", "ca": "/x/ca", "cert": "/x/cert", "key": "/x/key"}


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match="dask.distributed is missing; `make dask`"):
        dask_engine.Dask(SimpleNamespace(**TABLE))


def test_the_table_is_needed():
    with pytest.raises(BadInput, match=r"expected \[dask\] in the site file"):
        dask_engine.Dask(None)


@pytest.mark.parametrize(
    "scheduler", ["tcp://h:8786", "h:8786", "tls://h", "tls://h:8786/x", "tls://h:8786 tcp://h:1"]
)
def test_a_scheduler_without_tls_is_refused(scheduler):
    with pytest.raises(BadInput, match=r"dask.scheduler: expected to be tls://HOST:PORT"):
        site(dask={**TABLE, "scheduler": scheduler})


def test_a_tables_faults_are_named():
    assert site(dask={**TABLE, "near": {"az1-*": "east-*"}}).dask.near == {"az1-*": "east-*"}
    with pytest.raises(BadInput) as caught:
        site(dask={"scheduler": "tls://[::1]:8786", "ca": "a", "cart": "b", "key": "c"})
    assert "dask.cert: expected a value" in str(caught.value)
    assert "dask.cart: no such setting; did you mean 'cert'?" in str(caught.value)


def test_another_engine_is_none(tmp_path):
    (tmp_path / "site.toml").write_text('name = "x"\nhosts.c.roles = ["ceph"]\n')
    with pytest.raises(BadInput, match="--engine: expected local or dask, found 'desk'"):
        open_session({}, Options(site=str(tmp_path / "site.toml"), engine="desk"))


def test_the_local_pool_loads_nothing_of_dask():
    words = "import sys; from fabfile.flow import converge, engine; from fabfile.core import ssh; "
    words += "print([m for m in sys.modules if m.split('.')[0] in ('dask', 'distributed') or "
    words += "m.endswith(('dask_engine', 'pool', 'shard'))])"
    argv = [sys.executable, "-c", words]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "[]\n"
