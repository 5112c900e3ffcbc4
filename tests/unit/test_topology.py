"""Which hosts a lab has, of which Ceph cluster each: by its file."""

import pytest

from lab import topology
from lab.errors import LabError

TWO = topology.FOLDER / "two-clusters.toml"


@pytest.mark.parametrize(
    ("name", "clusters"),
    [
        ("small", {"": ["ceph01"]}),
        ("large", {"": ["ceph01", "ceph02", "ceph03"]}),
        ("two-clusters", {"": ["ceph01"], "west": ["west01", "west02", "west03"]}),
    ],
)
def test_each_cluster_has_its_own_hosts_alone(name, clusters):
    parts = topology.load(topology.FOLDER / f"{name}.toml").clusters
    assert {part.hosts[0].cluster: [host.name for host in part.hosts] for part in parts} == clusters
    for part in parts:
        assert set(part.running("ceph-mon")) <= set(part.hosts)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'cluster = "west"\nruns = ["ceph-mon", "ceph-mgr", "ceph-osd"]',
            'cluster = "west"\nruns = ["ceph-mgr", "ceph-osd"]',
            "ceph-mon: expected at least one host of the cluster 'west'",
        ),
        (
            'runs = ["ceph-mon", "ceph-mgr", "ceph-osd", "apt-repository"]',
            'runs = ["ceph-mon", "ceph-osd", "apt-repository"]',
            "ceph-mgr: expected at least one host",
        ),
        (
            'image = "compute"',
            'image = "compute"\ncluster = "west"',
            "hosts.compute01.cluster: 'west': expected on Ceph hosts alone",
        ),
    ],
)
def test_what_is_no_cluster_is_named(tmp_path, old, new, said):
    path = tmp_path / "topology.toml"
    text = TWO.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(LabError, match=said):
        topology.load(path)
