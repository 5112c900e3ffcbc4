"""Inventories of Ansible's: hosts, how they are reached, and the roles that their groups mean."""

import pytest

from fabfile.adopt import candidates, inventory
from fabfile.core.contract import BadInput

KOLLA = """
# These hosts run the control plane
[control]
control[01:03] ansible_user=kolla

[network]
network01

[compute]
compute01 ansible_host=192.0.2.31 ansible_port=2222
compute02 ansible_host="192.0.2.32"  # second rack

[monitoring]
monitoring01

[storage]
storage01

[deployment]
localhost ansible_connection=local

[glance:children]
control

[glance-api:children]
glance

[cinder:children]
control

[cinder-volume:children]
storage

[mariadb:children]
control

[nova-compute-ironic:children]
nova

[nova:children]
control

[all:vars]
ansible_user=root
ansible_password=hunter2
"""
KOLLA_YAML = """
---
all:
  vars:
    ansible_user: root
    ansible_become_password: !vault |
      $ANSIBLE_VAULT;1.1;AES256
      6162
  children:
    control:
      hosts:
        control[01:03]: {ansible_user: kolla}
    compute:
      hosts:
        compute01: {ansible_host: 192.0.2.31, ansible_port: 2222}
        compute02: {ansible_host: 192.0.2.32}
    storage: {hosts: {storage01: }}
    monitoring: {hosts: {monitoring01: {}}}
    network: {hosts: {network01: {}}}
    deployment: {hosts: {localhost: {ansible_connection: local}}}
    glance: {children: {control: }}
    glance-api: {children: {glance: }}
    cinder_volume: {children: {storage: {}}}
    mariadb: {children: {control: {}}}
"""
FORMS = pytest.mark.parametrize(
    "text, name", [(KOLLA, "multinode"), (KOLLA_YAML, "hosts.yml"), (KOLLA_YAML[1:], "hosts")]
)


@FORMS
def test_kollas_inventory_says_who_is_what(text, name):
    chosen = candidates.chosen(["ceph01"], inventory.parsed(text, name), None)
    assert {one.name: one.roles for one in chosen.candidates} == {
        "ceph01": ("ceph",),
        **dict.fromkeys(("control01", "control02", "control03"), ("glance", "database")),
        "compute01": ("compute",),
        "compute02": ("compute",),
        "storage01": ("cinder",),
    }
    by_name = {one.name: one for one in chosen.candidates}
    first = by_name["compute01"]
    assert (first.address, first.user, first.port) == ("192.0.2.31", "root", 2222)
    assert by_name["control02"].user == "kolla"


@pytest.mark.parametrize(
    "groups, roles",
    [
        (["glance_api", "control"], ("glance", "cinder", "database")),
        (["cinder-volume"], ("cinder",)),
        (["galera_all"], ("database",)),
        (["Compute_Hosts"], ("compute",)),
        (["mons"], ("ceph",)),
        (["controllers"], ("glance", "cinder", "database")),
        (["monitoring"], None),
    ],
)
def test_what_groups_are_called(groups, roles):
    text = "".join(f"[{group}]\nh\n" for group in groups)
    found = candidates.chosen([], inventory.parsed(text, "x"), None).candidates
    assert (found[0].roles if found else None) == roles


@pytest.mark.parametrize(
    "text, name, said",
    [
        ("[a\nh\n", "x", "line 1: expected [GROUP]"),
        ("[a:hosts]\n", "x", "line 1: expected [GROUP]"),
        ("h 'x\n", "x", "line 1: No closing quotation"),
        ("h[a:9]\n", "x", "expected a range"),
        ("h[1:99999999]\nk[1:99999999]\n", "x", "at most 20000 hosts"),
        ("- a\n", "x.yml", "an inventory: expected a table, found list"),
        ("a: {hosts: [b]}\n", "x.yml", "hosts: expected a table, found list"),
        ("a: [\n", "x.yml", "line 2: expected YAML: expected the node content"),
        ("".join(f"[g{n}]\n" for n in range(3000)), "x", "at most 2000 groups"),
    ],
)
def test_what_is_no_inventory_is_refused_with_its_place(text, name, said):
    with pytest.raises(BadInput) as refused:
        inventory.parsed(text, name)
    assert str(refused.value).startswith(f"{name}: ") and said in str(refused.value)


def test_a_password_beside_a_fault_is_not_shown():
    with pytest.raises(BadInput) as refused:
        inventory.parsed("all: {vars: {ansible_password: hunter2, x: !y |}}\n", "x.yml")
    assert "hunter2" not in str(refused.value)


def test_groups_within_themselves_and_tables_of_tables_end():
    text = "[a:children]\nb\n[b:children]\na\n[b]\nh\n[c:children]\nc\n"
    (one,) = inventory.parsed(text, "x")
    assert one.groups == {"a", "b"}
    chain = "".join(f"[g{n}:children]\ng{n + 1}\nh{n + 1}\n" for n in range(500))
    assert inventory.parsed(chain + "[g500]\nx\n", "x")[0].name == "x"
    lines = ["a0: &a0 {hosts: {h: {}}}"]
    lines += [
        f"a{n}: &a{n} {{children: {{x: *a{n - 1}, y: *a{n - 1}, z: *a{n - 1}}}}}"
        for n in range(1, 30)
    ]
    with pytest.raises(BadInput, match="fewer groups"):
        inventory.parsed("\n".join(lines), "x.yml")


def test_a_template_is_no_address_and_a_secret_is_not_kept():
    listed = inventory.parsed("[compute]\nh ansible_host='{{ ip }}' ansible_password=x\n", "x")
    assert listed == [inventory.Listed("h", frozenset({"compute"}))]


API = {
    "services": [
        {"binary": "nova-compute", "host": "n1.example.org", "up": True},
        {"binary": "nova-compute", "host": "n2", "up": True},
        {"binary": "cinder-volume", "host": "ctl@rbd", "up": True},
        {"binary": "cinder-volume", "host": "rbd:volumes@x", "up": True},
        {"binary": "nova-compute", "host": "a b\n", "up": True},
        {"binary": "nova-compute", "host": "compute", "up": True},
        {"binary": "nova-compute", "host": "y" * 70 + ".org", "up": True},
    ],
    "hypervisors": [{"host": "compute", "address": "192.0.2.9"}],
}


def test_the_api_and_the_inventory_name_one_host_once():
    listed = inventory.parsed(
        "[compute]\nn1 ansible_host=192.0.2.1\n[control]\nctl.example.org\n", "x"
    )
    chosen = candidates.chosen(["c1", "c2"], listed, API)
    by_name = {one.name: one for one in chosen.candidates}
    assert list(by_name)[:2] == ["c1", "c2"]
    assert by_name["n1"].address == "192.0.2.1" and by_name["n1"].roles == ("compute",)
    assert by_name["ctl.example.org"].roles == ("glance", "cinder", "database")
    assert "n1.example.org" not in by_name and "ctl" not in by_name
    assert chosen.odd == ("a b\n",)


def test_names_that_no_site_file_takes_get_one_and_keep_their_address():
    chosen = candidates.chosen(["c1"], [], API)
    by_address = {one.address: one.name for one in chosen.candidates if one.address}
    assert by_address["192.0.2.9"] == "host-compute"
    assert by_address["y" * 70 + ".org"] == "y" * 63
    assert by_address["rbd:volumes"] == "host-rbd-volumes"


def test_two_of_one_short_name_are_not_one():
    long = [f"{'y' * 70}.{end}" for end in ("a", "b")]
    services = [{"binary": "nova-compute", "host": name, "up": True} for name in long]
    chosen = candidates.chosen(["c1"], [], {"services": services})
    assert [one.address for one in chosen.candidates[1:]] == long[:1]
    assert chosen.odd == (long[1],)


@pytest.mark.parametrize("name", ["", "a b", "-x", "a\n", "x" * 300])
def test_a_ceph_host_that_is_no_name_is_refused(name):
    with pytest.raises(BadInput, match="--ceph"):
        candidates.chosen([name], [], None)
