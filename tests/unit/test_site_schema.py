"""What editors are told of the site file, and what `config` says that counts."""

import json
import re
from pathlib import Path

import fastjsonschema
import pytest
import tomli
from pydantic import BaseModel

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts
from fabfile.flow.inspect import effective as showing
from fabfile.flow.session import Options
from fabfile.model import effective, releases, site_schema, site_tables
from fabfile.model import site as sites
from fabfile.model.site_words import WORDS
from fabfile.resources import shown_config

ROOT = Path(__file__).parents[2]
SCHEMA = site_schema.schema()
PIECE = {**SCHEMA, "required": []}
"""A page shows a table or two of a site file."""
FILES = [*ROOT.glob("config/site*.toml"), *ROOT.glob("tests/**/site*.toml")]


@pytest.fixture(scope="module")
def valid():
    return fastjsonschema.compile(SCHEMA, use_default=False)


@pytest.fixture(scope="module")
def piece():
    return fastjsonschema.compile(PIECE, use_default=False)


def whole(value):
    """Without what a page abbreviates."""
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items() if "..." not in str(one)[-6:]}
    return value


def examples(page):
    """The indented blocks of a page that are tables of a site file."""
    for block in re.findall(r"(?:^(?: {4,}.*)?\n)+", page.read_text(), re.M):
        text = re.sub(r"^ {4}", "", block, flags=re.M).strip("\n")
        try:
            found = tomli.loads(text)
        except ValueError:
            continue
        if found and set(found) & set(SCHEMA["properties"]):
            yield whole(found)


PAGES = {p.name: p for p in [*ROOT.glob("docs/*.md"), ROOT / "README.md"] if [*examples(p)]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_site_file_fits_the_schema(valid, path):
    valid(tomli.loads(path.read_text()))


@pytest.mark.parametrize("name", PAGES)
def test_every_example_of_the_pages_fits_the_schema(piece, name):
    for found in examples(PAGES[name]):
        piece(found)


def test_there_are_examples():
    assert {"own-cloud.md", "several.md", "stores.md", "pools.md", "clusters.md"} <= set(PAGES)


def test_the_start_fits_once_it_is_filled_in(valid):
    text = (ROOT / "config" / "start.toml").read_text()
    all_of_it = re.sub(r"^#(?=\[|[a-z_]+ = )", "", text, flags=re.M)
    words = {"<ca.pem>": "/ca.pem", "<age1...>": "age1" + "q" * 58, "<192.0.2.31>": "192.0.2.31"}
    for name in set(re.findall(r"<[^>]+>", all_of_it)):
        all_of_it = all_of_it.replace(name, words.get(name, re.sub(r"[<>' ]", "", name)))
    valid(tomli.loads(all_of_it))


WHOLE = tomli.loads((ROOT / "config" / "site.toml").read_text())


@pytest.mark.parametrize(
    "more",
    [
        {"naem": "x"},
        {"hosts": {"n1": {"rolls": ["ceph"]}}},
        {"hosts": {"n1": {"roles": ["computer"]}}},
        {"hosts": {"n 1": {"roles": ["ceph"]}}},
        {"hosts": {"n1": {"roles": []}}},
        {"hosts": {"n1": {"roles": ["ceph"], "port": 0}}},
        {"hosts": {}},
        {"pools": {"volumes": {"sise": 3}}},
        {"pools": {"volumes": {"quota": "many"}}},
        {"pools": {"volumes": {"erasure": {"k": 2}}}},
        {"pools": {"vol;umes": {}}},
        {"clients": {"volumes": {"rxw": ["volumes"]}}},
        {"clients": {"volumes": {"rwx": "volumes"}}},
        {"clients": {"volumes": {"secret_uuid": "x"}}},
        {"glance": {"stoer": "x"}},
        {"glance": {"stores": {"a": {}}}},
        {"cinder": {"backends": {"a": {"pool": "p", "volume_typ": "x"}}}},
        {"cinder": {"backup": {"chunk_size": 1}}},
        {"nova": {"ephemeral": "yes"}},
        {"options": {"keystone": {}}},
        {"options": {"cinder": {"rbd": {"a b": 1}}}},
        {"rollout": {"serial": "1;2"}},
        {"rollout": {"max_fail": "101%"}},
        {"ssh": {"forks": 1000}},
        {"ssh": {"fork": 10}},
        {"dask": {"scheduler": "tcp://x:1", "ca": "a", "cert": "b", "key": "c"}},
        {"sudoers": {"user": "ALL"}},
        {"verify": {"flavour": "m1"}},
        {"backup": {"recipients": ["age1x"]}},
        {"clusters": {"b": {"access": "stolen"}}},
        {"packages": {"sauce": "deb"}},
    ],
    ids=json.dumps,
)
def test_what_the_check_refuses_an_editor_refuses(valid, more):
    with pytest.raises(fastjsonschema.JsonSchemaException):
        valid({**WHOLE, **more})
    with pytest.raises(BadInput):
        sites.check({**WHOLE, **more}, "site.toml", site_file.platforms())


def tables():
    """Every class of the site file's tables."""
    found, ahead = set(), [sites.Site]
    while ahead:
        one = ahead.pop()
        found.add(one)
        text = " ".join(str(field.annotation) for field in one.model_fields.values())
        names = set(re.findall(r"site_tables\.(\w+)", text))
        classes = [getattr(site_tables, name) for name in names]
        ahead += [c for c in classes if isinstance(c, type) and c not in found]
    return {one for one in found if issubclass(one, BaseModel)}


def test_every_key_has_its_words_and_no_words_are_of_none():
    keys = {(one.__name__, key) for one in tables() for key in one.model_fields}
    assert [at for at in sorted(keys) if not site_schema.words_of(*_of(at))] == []
    assert {(name, key) for name, words in WORDS.items() for key in words} <= keys


def _of(at):
    return getattr(sites, at[0], None) or getattr(site_tables, at[0]), at[1]


def test_rows_have_form_and_default():
    rows = {row.key: row for row in site_schema.settings()}
    assert rows["ssh.forks"].form == "number, 1 to 256" and rows["ssh.forks"].default == "16"
    assert rows["hosts.NAME.roles"].form.startswith("list of ceph, glance")
    assert rows["hosts.NAME.roles"].required and not rows["hosts.NAME.port"].required
    assert rows["glance.store"].default == '"rbd"'
    assert rows["pools.NAME"].default == "volumes, images"
    assert rows["pools.NAME.erasure.k"].required
    assert all(row.words and row.form for row in rows.values())


def test_the_schema_is_written_once_and_says_how_it_is_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert showing.write_schema("") == 0
    assert json.loads(Path("site.schema.json").read_text()) == SCHEMA
    assert "#:schema ./site.schema.json" in capsys.readouterr().out
    with pytest.raises(BadInput, match="is there already"):
        showing.write_schema("")


TOML = '''\
name = "a"
[hosts]
n1 = { roles = ["ceph"] }   # [not.a.table]
"n2" = { roles = [
  "compute",
], port = 22 }

[hosts.n3]
roles = ["glance"]
[ clients . "vol" ]
manage = true
[options.cinder.rbd]
note = """
[glance]
pool = "x"
"""
glance.x = 1
'''


@pytest.mark.parametrize(
    "path, line",
    [
        ("name", 1),
        ("hosts", None),
        ("hosts.n1", 3),
        ("hosts.n1.roles", 3),
        ("hosts.n2.port", 4),
        ("hosts.n3", 8),
        ("hosts.n3.roles", 9),
        ("clients.vol.manage", 11),
        ("options.cinder.rbd.note", 13),
        ("options.cinder.rbd.glance.x", 17),
        ("glance.pool", None),
        ("not.a.table", None),
    ],
)
def test_a_key_is_found_on_its_line(path, line):
    found = site_file.lines(TOML)
    assert found.get(tuple(path.split("."))) == (2 if path == "hosts" else line)


def of(text, release=""):
    raw = tomli.loads(text)
    site = sites.check(raw, "site.toml", site_file.platforms())
    found = effective.of_site(site, site_file.lines(text), "site.toml")
    return {one.key: (one.shown, one.origin) for one in found}, site


SITE = """
name = "s"
release = "zed"
[hosts]
n1 = { roles = ["ceph", "glance", "cinder", "compute"] }
[ssh]
sudo_password_command = ["echo", "hunter2"]
[clients]
volumes = { manage = false }
images = { rwx = ["images"] }
backups = {}
[pools]
backups = {}
volumes = {}
images = {}
[cinder.backup]
[packages]
source = "deb [signed-by=/k] https://me:hunter2@example.org/ s main"
key = "/k"
[options.cinder.rbd]
rbd_max_clone_depth = 10
"""


@pytest.mark.parametrize(
    "key, shown, origin",
    [
        ("name", '"s"', "site.toml:2"),
        ("hosts.n1.roles", '["ceph", "glance", "cinder", "compute"]', "site.toml:5"),
        ("clients.volumes.rwx", '["volumes"]', "what its services use"),
        ("clients.images.rwx", '["images"]', "site.toml:10"),
        ("glance.pool", '"images"', "default"),
        ("options.cinder.rbd.rbd_max_clone_depth", "10", "site.toml:21"),
        ("ssh.sudo_password_command", "(a command of 2 words, not shown)", "site.toml:7"),
        (
            "packages.source",
            '"deb [signed-by=/k] https://(a login, not shown)@example.org/ s main"',
            "site.toml:18",
        ),
    ],
)
def test_a_value_has_its_place_and_no_secret(key, shown, origin):
    found, _ = of(SITE)
    assert found[key] == (shown, origin)
    assert "hunter2" not in str(found)


def test_the_releases_options_are_told_where_the_site_file_names_it(tmp_path, capsys):
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    path.chmod(0o600)
    assert showing.show(Options(site=str(path))) == 0
    said = capsys.readouterr().out
    assert "named by --site" in said and "hunter2" not in said
    for line in (
        r"/etc/cinder/cinder.conf \[DEFAULT\] backup_ceph_pool += backups  # zed, as the site says",
        r"cinder.conf \[rbd\] rbd_pool += volumes  # zed, as the site says",
        r"cinder.conf \[rbd\] report_discard_supported += true  # zed, recommended",
        r"/etc/glance/glance-api.conf \[rbd\] rbd_store_user += images  # zed, as the site says",
        r"nova.conf \[libvirt\] rbd_secret_uuid += <uuid from the hosts>  # zed, recommended",
    ):
        assert re.search(line, said), line
    assert showing.show(Options(site=str(path), json=True)) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"key": "name", "shown": '"s"', "origin": "site.toml:2", "hosts": []} in told["values"]


def test_an_unknown_release_ends_no_look(tmp_path, capsys):
    path = tmp_path / "site.toml"
    path.write_text(SITE.replace("zed", "zebra"))
    path.chmod(0o600)
    assert showing.show(Options(site=str(path))) == 0
    assert "zebra" in capsys.readouterr().out


COMMAND = ["podman", "exec", "-e", "TOKEN=hunter2", "--password", "hunter2", "c", "ceph"]


@pytest.mark.parametrize(
    "words, shown",
    [
        (COMMAND, ["podman", "exec", "-e", "TOKEN=", "--password", "", "c", "ceph"]),
        (["x", "--api-key=hunter2", "-it"], ["x", "--api-key=", "-it"]),
        (["x", "Authorization: Bearer hunter2"], ["x", "Authorization: "]),
        (["sh", "-c", "A=1 CEPH_SECRET='hunter2 hunter2' ceph"], ["sh", "-c", "A=1 CEPH_SECRET="]),
        (["x", "--keyring", "/k", "--keyfile=/k", "--secret_uuid", "u"], None),
        (["ceph", "--conf", "/etc/ceph/ceph.conf", "/opt/token/x", "keys"], None),
        (["--token"], None),
    ],
)
@pytest.mark.parametrize("table", ["[clusters.ceph]", "[platform_changes.ways]"])
def test_what_commands_are_given_as_a_secret_is_not_shown(words, shown, table):
    nested = "ways" in table
    text = f"{SITE}{table}\nceph = {[words] if nested else words}\n"
    text += "" if nested else 'rbd = ["x", "rbd"]\n'
    key = "platform_changes.ways.ceph" if nested else "clusters.ceph.ceph"
    found = of(text)[0][key][0]
    hidden = [f"{word}(not shown)" if word in ("", *_BEGUN) else word for word in shown or words]
    assert found == site_schema.as_toml([hidden] if nested else hidden)
    assert "hunter2" not in found


_BEGUN = ("TOKEN=", "--api-key=", "Authorization: ", "A=1 CEPH_SECRET=")
GROUPS = """
name = "s"
release = "zed"
[hosts]
ceph01 = { roles = ["ceph"] }
c0 = { roles = ["glance", "cinder"] }
n1 = { roles = ["compute"] }
n2 = { roles = ["compute"] }
[pools]
volumes = {}
images = {}
vms = {}
[clients]
volumes = {}
images = {}
vms = {}
[nova]
ephemeral = true
"""


@pytest.mark.parametrize(
    "hosts, pool, users",
    [
        ("", "", {"vms": ""}),
        ('hosts = ["n1", "n2"]', "", {"vms": ""}),
        ('hosts = ["n2"]', "n2", {"volumes": "n1", "vms": "n2"}),
        ('hosts = ["n1"]', "n1", {"vms": "n1", "volumes": "n2"}),
    ],
)
def test_novas_own_disks_are_shown_as_they_are_written(hosts, pool, users):
    raw = tomli.loads(GROUPS + hosts)
    site = sites.check(raw, "site.toml", site_file.platforms())
    table = releases.choose(site, Facts({}, {}, {}), site_file.releases()).table
    found = [one for one in shown_config.of_release(site, table, "zed") if "nova" in one.key]
    (disks,) = [one for one in found if one.key.endswith("images_rbd_pool")]
    assert (disks.shown, disks.origin) == ("vms", "zed, as the site says")
    assert ",".join(disks.hosts) == pool
    named = {one.shown: ",".join(one.hosts) for one in found if one.key.endswith(" rbd_user")}
    assert named == users


@pytest.mark.parametrize(
    "said, fault",
    [
        ("a = 1.5", "a: expected true, false, a whole number, text or a list of these, found 1.5"),
        ("a = { d = 1 }", "a: expected true, false, a whole number, text or a list of these, "),
        ("a = 2020-01-01", "a: expected true, false, a whole number, text or a list of these, "),
        ("a = ['x', 1.5]", "a.1: expected a whole number or text, found 1.5"),
        ("a = [true]", "a.0: expected a whole number or text, found True"),
        ("a = [['x']]", "a.0: expected a whole number or text, found ['x']"),
        ("a = ['x,y']", "a.0: expected to match pattern '^[^,]*$', found 'x,y'"),
        ("a = 'https://u:hunter2@h'", "a: expected a value without a login, found a URL with one"),
        ('a = "x\\ny"', "a: expected to be one line of plain text, found 'x\\ny'"),
        ("'[int]' = 1", "'^[A-Za-z][A-Za-z0-9_]{0,127}$'"),
    ],
)
def test_an_option_of_another_kind_has_one_fault_in_plain_words(said, fault):
    with pytest.raises(BadInput) as caught:
        of(SITE.replace("rbd_max_clone_depth = 10", said.replace("\n", "\\n")))
    assert fault in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "hunter2" not in str(caught.value) and "function" not in str(caught.value)


@pytest.mark.parametrize(
    "data, hinted",
    [
        (b"\xef\xbb\xbfname = 1\n", True),
        (b"\0", False),
        (b"name = 1\rx = 2\n", False),
        (b"name == 1\n", False),
    ],
)
def test_a_byte_order_mark_is_named_where_one_is(tmp_path, data, hinted):
    path = tmp_path / "site.toml"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="not TOML") as caught:
        site_file.load(path)
    assert ("byte order mark" in str(caught.value)) is hinted
