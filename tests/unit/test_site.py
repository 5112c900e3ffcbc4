"""The site file: every fault at once, each with what was expected and found."""

import copy

import pytest

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Host
from fabfile.model import site as sites
from fabfile.model import site_faults, site_schema, site_tables

from .states import EPHEMERAL, HOSTS, OTHER, THIRD, site


def said(**more):
    with pytest.raises(BadInput) as caught:
        site(**more)
    return str(caught.value)


def test_all_faults_are_listed_at_once():
    text = said(
        sise=1,
        glance={"stoer": "x"},
        pools={"images": {"size": "three"}, "volumes": {"pg_num": 0}},
        cinder={"pool": "a;b"},
        hosts={**HOSTS, "n3": {"roles": ["computer"]}},
    )
    lines = text.split("\n")
    assert all(line.startswith("site.toml: ") for line in lines)
    for key in (
        "sise",
        "glance.stoer",
        "pools.images.size",
        "pools.volumes.pg_num",
        "cinder.pool",
        "hosts.n3.roles.0",
    ):
        assert sum(line.startswith(f"site.toml: {key}: ") for line in lines) == 1
    assert len(lines) == 6


@pytest.mark.parametrize(
    "more, key, found",
    [
        ({"pools": {"images": {"size": "three"}, "volumes": {}}}, "pools.images.size", "'three'"),
        ({"pools": {"images": {"size": 0}, "volumes": {}}}, "pools.images.size", "0"),
        ({"pools": {"images": {"size": 11}, "volumes": {}}}, "pools.images.size", "11"),
        ({"ssh": {"forks": 0}}, "ssh.forks", "0"),
        ({"rollout": {"serial": "0"}}, "rollout.serial", "'0'"),
        ({"rollout": {"serial": "1;2"}}, "rollout.serial", "'1;2'"),
        ({"rollout": {"max_fail": "101%"}}, "rollout.max_fail", "'101%'"),
        ({"rollout": {"max_fail": -1}}, "rollout.max_fail", "'-1'"),
        ({"ssh": {"sudo_password_command": []}}, "ssh.sudo_password_command", "[]"),
        ({"hosts": {"a": {"roles": []}}}, "hosts.a.roles", "[]"),
        ({"hosts": {"a": {"roles": ["ceph"], "port": 65536}}}, "hosts.a.port", "65536"),
        ({"glance": {"store": 1}}, "glance.store", "1"),
        ({"nova": {"ephemeral": "maybe"}}, "nova.ephemeral", "'maybe'"),
        ({"glance": "rbd"}, "glance", "'rbd'"),
        ({"sudoers": {"user": "op", "until": "tomorrow"}}, "sudoers.until", "'tomorrow'"),
        ({"sudoers": {"user": "op", "until": "20301231Z"}}, "sudoers.until", "'20301231Z'"),
        ({"sudoers": {"user": "op", "until": "2030123123Z"}}, "sudoers.until", "'2030123123Z'"),
        (
            {"sudoers": {"user": "op", "until": "20301231235959"}},
            "sudoers.until",
            "'20301231235959'",
        ),
        ({"sudoers": {"user": "ALL"}}, "sudoers.user", "'ALL'"),
        ({"sudoers": {"user": "ADMINS"}}, "sudoers.user", "'ADMINS'"),
        ({"sudoers": {"user": "Jane"}}, "sudoers.user", "'Jane'"),
        ({"sudoers": {"user": "1000"}}, "sudoers.user", "'1000'"),
        ({"sudoers": {"user": "%wheel"}}, "sudoers.user", "'%wheel'"),
        ({"sudoers": {"user": "#0"}}, "sudoers.user", "'#0'"),
        ({"sudoers": {"user": "CORP\\jane"}}, "sudoers.user", "'CORP"),
        ({"sudoers": {"user": "jane@corp"}}, "sudoers.user", "'jane@corp'"),
        ({"sudoers": {"user": "a" * 33}}, "sudoers.user", "'aaa"),
        ({"verify": {"size": 101}}, "verify.size", "101"),
    ],
)
def test_a_fault_has_key_expected_and_found(more, key, found):
    text = said(**more)
    assert text.startswith(f"site.toml: {key}: ")
    assert "expected to be" in text or "expected to have" in text or "expected to match" in text
    assert f", found {found}" in text


@pytest.mark.parametrize(
    "more, hint",
    [
        ({"realease": "zed"}, "realease: no such setting; did you mean 'release'?"),
        ({"glance": {"stoer": "x"}}, "glance.stoer: no such setting; did you mean 'store'?"),
        ({"cinder": {"pol": "x"}}, "cinder.pol: no such setting; did you mean 'pool'?"),
        ({"pools": {"images": {"pgnum": 1}}}, "did you mean 'pg_num'?"),
        ({"hosts": {"a": {"roles": ["ceph"], "addres": "b"}}}, "did you mean 'address'?"),
        (
            {"nova": {"zzz": 1}},
            "nova.zzz: no such setting; known are client, cluster, ephemeral, hosts, pool",
        ),
    ],
)
def test_did_you_mean(more, hint):
    assert hint in said(**more)


ROWS = [row.key.split(".") for row in site_schema.settings()]
TABLES = sorted({(), *(tuple(path[:-1]) for path in ROWS if path[-1] != "NAME")})


@pytest.mark.parametrize("table", TABLES, ids=".".join)
def test_of_each_table_its_own_keys_are_named(table):
    mine = {path[len(table)] for path in ROWS if path[: len(table)] == [*table] != path}
    error = {"type": "extra_forbidden", "loc": (*table, "zzzzzz")}
    (line,) = site_faults.lines([error], {}, sites.Site)
    assert line.partition("; known are ")[2] == ", ".join(sorted(mine))


HOSTILE = [
    "a;reboot",
    "a$(id)",
    "a`id`",
    "a\nb",
    "a\n",
    "-rf",
    "--help",
    "a b",
    "a/b",
    "../a",
    "",
    ".",
    "a'b",
    'a"b',
    "a|b",
    "a&b",
    "[a]",
    "a=b",
    "a,b",
    "{pool}",
    "a\x00b",
    "ä",
    "a" * 64,
]
PLACES = {
    "pools": lambda n: {"pools": {"volumes": {}, "images": {}, n: {}}},
    "clients": lambda n: {"clients": {n: {"rwx": ["volumes"]}}},
    "clients.images.rwx": lambda n: {"clients": {"images": {"rwx": [n]}}},
    "hosts": lambda n: {"hosts": {**HOSTS, n: {"roles": ["compute"]}}},
    "hosts.ceph01.user": lambda n: {"hosts": {"ceph01": {"roles": ["ceph"], "user": n}}},
    "glance.store": lambda n: {"glance": {"store": n}},
    "glance.client": lambda n: {"glance": {"client": n}},
    "cinder.pool": lambda n: {"cinder": {"pool": n}},
    "cinder.backend": lambda n: {"cinder": {"backend": n}},
    "cinder.volume_type": lambda n: {"cinder": {"volume_type": n}},
    "sudoers.user": lambda n: {"sudoers": {"user": n}},
    "cloud": lambda n: {"cloud": n},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_everywhere(place, name):
    assert f"site.toml: {place}" in said(**PLACES[place](name))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "\r"])
def test_no_name_breaks_a_message_into_lines(place, name):
    lines = said(**PLACES[place](name)).split("\n")
    assert all(line.startswith("site.toml: ") and line.isprintable() for line in lines)


@pytest.mark.parametrize("user", ["op", "_apt", "jane.doe", "a-b_c9", "a" * 32])
@pytest.mark.parametrize("until", ["20301231235959Z", "203012312359Z"])
def test_a_users_name_and_a_term(user, until):
    assert site(sudoers={"user": user, "until": until}).sudoers.user == user


FREE = [p for p in PLACES if p.count(".") < 2 and p != "sudoers.user"]


@pytest.mark.parametrize("place", FREE)
@pytest.mark.parametrize("name", ["a", "A9", "a.b-c_d", "a" * 63])
def test_ordinary_names_are_taken_everywhere(place, name):
    more = PLACES[place](name)
    everything = {n: {} for n in ("volumes", "images", name)}
    clients = {n: {"rwx": ["volumes"]} for n in everything}
    if "clients" in more:
        more = {"clients": {**clients, **more["clients"]}}
    assert site(**{"pools": everything, "clients": clients, **more}).name == "test"


@pytest.mark.parametrize("address", ["-oProxyCommand=id", "a b", "a;b", "a\nb", "$(id)", ""])
def test_hostile_addresses_are_refused(address):
    text = said(hosts={"ceph01": {"roles": ["ceph"], "address": address}})
    assert "site.toml: hosts.ceph01.address: expected" in text


@pytest.mark.parametrize("address", ["10.0.0.1", "ceph01.example.org", "2001:db8::1"])
def test_addresses(address):
    found = site(hosts={"ceph01": {"roles": ["ceph"], "address": address}})
    assert found.admin.address == address


@pytest.mark.parametrize(
    "more",
    [
        {"ssh": {"config": "a\nb"}},
        {"packages": {"source": "deb [signed-by=/k] http://a\ndeb http://evil b c", "key": "k"}},
        {"clouds_yaml": "a\x1b[2J"},
    ],
)
def test_plain_text_is_one_line(more):
    assert "expected to be one line of plain text" in said(**more)


@pytest.mark.parametrize("text", ["", "x", "6238f9e6-0382-4cef-a3f3-795a22ddc50", "{}", "a\n"])
def test_a_uuid_is_a_uuid(text):
    clients = {"volumes": {"rwx": ["volumes"], "secret_uuid": text}, "images": {"rwx": ["images"]}}
    assert "clients.volumes.secret_uuid: expected to be a UUID" in said(clients=clients)


CLIENTS = {"volumes": {"rwx": ["volumes"]}, "images": {"rwx": ["images"]}}


@pytest.mark.parametrize(
    "more, key, found",
    [
        ({"cinder": {"pool": "no"}}, "cinder.pool", "no"),
        ({"cinder": {"client": "no"}}, "cinder.client", "no"),
        ({"glance": {"pool": "no"}}, "glance.pool", "no"),
        ({"glance": {"client": "no"}}, "glance.client", "no"),
        ({"clients": {**CLIENTS, "x": {"rwx": ["no"]}}}, "clients.x.rwx", "no"),
        ({"clients": {**CLIENTS, "x": {"rwx": ["images"], "rx": ["no"]}}}, "clients.x.rx", "no"),
        ({"nova": {"ephemeral": True}}, "nova.pool", "vms"),
        ({"nova": {"ephemeral": True}}, "nova.client", "vms"),
    ],
)
def test_unknown_references(more, key, found):
    line = f"site.toml: {key}: expected one of images, volumes, found {found!r}"
    assert line in said(**more).split("\n")


def with_uuids(volumes, images):
    return {
        n: {**CLIENTS[n], "secret_uuid": u} for n, u in (("volumes", volumes), ("images", images))
    }


@pytest.mark.parametrize("volumes", [OTHER, THIRD, THIRD.upper()])
def test_a_secret_uuid_is_one_clients(volumes):
    text = said(clients=with_uuids(volumes, volumes.lower()))
    assert text.startswith("site.toml: clients.images.secret_uuid: expected one of its own, found")
    assert "clients.volumes" in text
    assert site(clients=with_uuids(OTHER, THIRD)).name == "test"


ONE = {"clients": {"one": {"rwx": ["volumes", "images"]}}}
SHARING = {**ONE, "glance": {"client": "one"}, "cinder": {"client": "one"}}


@pytest.mark.parametrize(
    "roles, more, services",
    [
        (
            ["glance", "cinder"],
            SHARING,
            "cinder.client: expected another client than glance.client",
        ),
        (
            ["cinder", "compute"],
            {**SHARING, "nova": {"ephemeral": True, "client": "one", "pool": "volumes"}},
            "nova.client: expected another client than cinder.client",
        ),
        (["cinder", "compute"], SHARING, None),
        (["glance", "cinder"], {}, None),
    ],
)
def test_a_keyring_is_one_services_on_a_host(roles, more, services):
    hosts = {"ceph01": {"roles": ["ceph"]}, "h": {"roles": roles}, "i": {"roles": roles}}
    if services:
        text = said(hosts=hosts, **more)
        assert text.startswith(f"site.toml: {services} on a host of both (h)")
        assert "\n" not in text
    else:
        assert len(site(hosts=hosts, **more).hosts) == 3


def test_one_client_serves_several_services_on_hosts_of_their_own():
    hosts = {"a": {"roles": ["ceph", "glance"]}, "b": {"roles": ["cinder"]}}
    assert site(hosts=hosts, **SHARING).glance.client == "one"


def test_a_site_without_ceph_has_no_admin_host():
    hosts = {"a": {"roles": ["compute"]}}
    assert said(hosts=hosts) == "site.toml: hosts: no host has the role 'ceph'"


def test_all_unknown_references_are_listed_at_once():
    text = said(cinder={"pool": "a", "client": "b"}, glance={"pool": "c", "client": "d"})
    assert len(text.split("\n")) == 4


def test_nova_is_held_to_nothing_while_its_disks_stay():
    assert list(site().secret_clients()) == ["volumes"]
    assert list(site(**EPHEMERAL).secret_clients()) == ["volumes", "vms"]


def test_hosts_come_in_the_files_order_with_what_reaches_them():
    table = {"roles": ["ceph", "compute"], "address": "10.0.0.9", "user": "op", "port": 22}
    found = site(hosts={"z": {"roles": ["compute"]}, "b": table, "a": {"roles": ["ceph"]}})
    assert [h.name for h in found.with_role("ceph", "compute")] == ["z", "b", "a"]
    assert found.admin == Host("b", ("ceph", "compute"), "10.0.0.9", "op", 22)
    assert found.host("a") == Host("a", ("ceph",), None, None, None)


@pytest.mark.parametrize("missing", ["name", "hosts"])
def test_what_is_missing_is_named(missing):
    raw = {"name": "test", "hosts": copy.deepcopy(HOSTS)}
    del raw[missing]
    with pytest.raises(BadInput, match=f"^site.toml: {missing}: expected a value, found none$"):
        sites.check(raw, "site.toml", site_file.platforms())


@pytest.mark.parametrize(
    "packages, right",
    [
        ({"source": "deb http://x y z"}, False),
        ({"source": "deb [signed-by=/k] http://x y z"}, False),
        ({"source": "deb http://x y z", "key": "k"}, False),
        ({"source": "deb [signed-by=/k] http://x y z", "key": "k"}, True),
        ({}, True),
    ],
)
def test_a_source_is_signed(packages, right):
    if right:
        assert site(packages=packages).packages.install
    else:
        assert "site.toml: packages: a source needs [signed-by=...]" in said(packages=packages)


@pytest.mark.parametrize("name", ["site.toml", "site.large.toml", "site.two-clusters.toml"])
def test_the_shipped_sites_are_right(name):
    found = sites.check(
        site_file.load(site_file.PROJECT / "config" / name), name, site_file.platforms()
    )
    assert found.cloud == "stackrbd-lab"
    not_there = set() if found.cinder.backup else {"cinder-backup"}
    roles = {role for host in found.all_hosts() for role in host.roles}
    assert roles == {*site_tables.ROLES} - not_there - {"deploy"}


@pytest.mark.parametrize(
    "name, roles, what",
    [
        ("cloud", ["compute"], "the cloud's own API"),
        ("here", ["compute"], "this machine"),
        ("compute", ["glance"], "every host of that role"),
    ],
)
def test_names_that_mean_something_else(name, roles, what):
    text = said(hosts={**HOSTS, name: {"roles": roles}})
    assert f"hosts.{name}: expected another name: {name!r} is {what} here" in text


def test_a_host_may_have_the_name_of_its_role_where_it_is_alone_in_it():
    hosts = {"ceph": {"roles": ["ceph"]}, "compute": {"roles": ["compute"]}}
    assert site(hosts=hosts).host("compute").roles == ("compute",)


@pytest.mark.parametrize("number", ["1" * 5000, "0x" + "f" * 5000])
def test_a_number_of_thousands_of_digits(tmp_path, number):
    path = tmp_path / "site.toml"
    path.write_text(f'name = "x"\nhosts.a.roles = ["ceph"]\nhosts.a.port = {number}\n')
    with pytest.raises(BadInput, match="digits|not TOML"):
        sites.check(site_file.load(path), str(path), site_file.platforms())


def test_a_user_without_a_home_is_named():
    with pytest.raises(BadInput, match="--site: ~nobody-here/x: ~nobody-here has no home"):
        site_file.locate("~nobody-here/x")


def test_what_is_not_filled_in_yet_is_said_so():
    text = said(
        name="<my-cloud>",
        hosts={"<ceph01>": {"roles": ["ceph"], "address": "<192.0.2.31>"}},
        ssh={"sudo_password_command": "<words>"},
    )
    keys = ("name", "hosts.<ceph01>", "hosts.<ceph01>.address", "ssh.sudo_password_command")
    for key in keys:
        assert f"site.toml: {key}: fill this in: it is as the start has it" in text
    assert len(text.splitlines()) == len(keys)


@pytest.mark.parametrize("name", ["<", "<>", "a<b>", "<a>b", "<a><b>", ""])
def test_what_only_looks_so_is_a_fault_as_any(name):
    assert "site.toml: name: expected to be a name" in said(name=name)
