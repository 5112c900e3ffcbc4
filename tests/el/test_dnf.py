"""Packages and their source on a host of the EL family, by real dnf and rpm."""

import os

import pytest

from .host import ROOT, Host, held, wait_for_sshd

REPO = ROOT / "etc/yum.repos.d/stackrbd-ceph.repo"
KEY = ROOT / "etc/pki/rpm-gpg/RPM-GPG-KEY-stackrbd-ceph"
CLIENT = {"ceph-common", "python3-rbd", "qemu-kvm-block-rbd"}
NOTHING = {"rocky-release"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if os.environ.get("STACKRBD_EL") != "1":
        pytest.skip("needs namespaces of its own: make el")
    at = tmp_path_factory.mktemp("el")
    host = Host(at)
    wait_for_sshd(at)
    return host


@pytest.fixture
def host(made):
    """As it is before anything is installed."""
    made.forget()
    made.write_site()
    assert made.installed() == NOTHING
    return made


def fingerprint(host):
    said = host.on("gpg --homedir /srv/gpg --with-colons --list-keys packages@example.org")
    return next(row.split(":")[9] for row in said.splitlines() if row.startswith("fpr"))


def test_a_plan_shows_the_key_and_writes_nothing(host):
    said = " ".join(host.inv("hosts.packages", "--check", "--diff", expect=2).split())
    digits = fingerprint(host)
    assert " ".join(digits[n : n + 4] for n in range(0, 40, 4)) in said
    assert "install ceph-common python3-rbd qemu-kvm-block-rbd" in said
    assert not REPO.exists() and not KEY.exists() and host.installed() == NOTHING


@pytest.mark.parametrize("repo_gpgcheck", [False, True])
def test_packages_come_from_the_signed_source_once(host, repo_gpgcheck):
    host.write_site(repo_gpgcheck=repo_gpgcheck)
    host.inv("hosts.packages", "--yes")
    assert host.installed() == {*NOTHING, *CLIENT, "librados2", "gpg-pubkey"}
    assert f"repo_gpgcheck={int(repo_gpgcheck)}" in REPO.read_text()
    said = host.inv("hosts.packages", "--yes")
    assert "install ceph-common" not in said


def test_undo_takes_the_source_back_and_leaves_the_packages(host):
    host.inv("hosts.packages", "--yes")
    said = host.inv("undo", "--yes")
    assert "packages stay installed" in " ".join(said.split())
    assert not REPO.exists() and not KEY.exists()
    assert host.installed() >= CLIENT


def test_a_package_that_nobody_signed_is_refused(host):
    host.package("python3-rbd", "19.2.0", "Requires: librados2", signed=False)
    host.publish()
    try:
        said = host.inv("hosts.packages", "--yes", expect=1)
        assert "is not signed" in said
        assert not CLIENT & host.installed()
    finally:
        host.on("rm /srv/repo/python3-rbd-19.2.0-1.el9.noarch.rpm")
        host.publish()


def test_a_repository_that_nobody_signed_is_refused(host):
    host.write_site(repo_gpgcheck=True)
    host.on("rm /srv/repo/repodata/repomd.xml.asc")
    try:
        said = " ".join(host.inv("hosts.packages", "--yes", expect=1).split())
        assert "GPG signature is not available" in said
        assert host.installed() - {"gpg-pubkey"} == NOTHING
    finally:
        host.publish()


def test_another_key_than_the_one_that_signed_is_refused(host):
    host.on(
        "export GNUPGHOME=/srv/other; mkdir -p -m 700 /srv/other\n"
        "gpg -q --batch --passphrase '' --quick-gen-key other@example.org rsa2048 sign never\n"
        "gpg --armor --export other@example.org > /srv/other.asc"
    )
    (host.at / "key.asc").write_text((ROOT / "srv/other.asc").read_text())
    host.inv("hosts.packages", "--yes", expect=1)
    assert not CLIENT & host.installed()


ELSEWHERE = "[elsewhere]\nname=x\nbaseurl=file:///srv/elsewhere\n"


@pytest.mark.parametrize("known", [False, True])
def test_a_repository_without_gpgcheck_is_refused(host, known):
    """known: dnf has its metadata, so that the plan says it; else dnf's dry run does."""
    for name in sorted(CLIENT):
        host.package(name, "20.2.0", signed=False, into="/srv/elsewhere")
    host.publish(signed=False, at="/srv/elsewhere")
    (ROOT / "etc/yum.repos.d/elsewhere.repo").write_text(ELSEWHERE + "gpgcheck=0\n")
    if known:
        host.on("dnf -q makecache")
    said = " ".join(host.inv("hosts.packages", "--yes", expect=3 if known else 1).split())
    assert "elsewhere" in said and "gpgcheck=1" in said
    assert host.installed() - {"gpg-pubkey"} == NOTHING
    assert REPO.exists() != known


@pytest.mark.parametrize("row", ["ceph-common-2:17.*", "!ceph-common-0:18.2.4-1.el9.*"])
def test_a_locked_package_is_refused_before_anything_is_written(host, row):
    locks = ROOT / "etc/dnf/plugins/versionlock.list"
    locks.parent.mkdir(exist_ok=True)
    locks.write_text(f"# Added lock\n{row}\n")
    said = " ".join(host.inv("hosts.packages", "--yes", expect=3).split())
    assert "versionlock.list" in said and "dnf versionlock delete ceph-common" in said
    assert not REPO.exists()


def test_what_would_remove_something_is_refused(host):
    host.package("old-client", "1", into="/srv/old")
    host.on("rpm --import /srv/key.asc; rpm -i /srv/old/old-client-1-1.el9.noarch.rpm")
    host.package("ceph-common", "18.2.5", "Requires: librados2\nObsoletes: old-client")
    host.publish()
    try:
        said = " ".join(host.inv("hosts.packages", "--yes", expect=1).split())
        assert "old-client" in said and "nothing was installed" in said
        assert "old-client" in host.installed()
    finally:
        host.on("rm /srv/repo/ceph-common-18.2.5-1.el9.noarch.rpm; rpm -e old-client || :")
        host.publish()


def test_a_lock_of_another_dnf_is_waited_for(host):
    host.on(held(8))
    host.inv("hosts.packages", "--yes")
    assert host.installed() >= CLIENT


def test_a_host_of_another_family_than_the_site_file_says_is_refused(host):
    site = host.at / "site.toml"
    site.write_text(site.read_text().replace(', platform = "el"', "").replace("baseurl", "#"))
    text = " ".join(host.inv("hosts.packages", "--yes", expect=3).split())
    assert 'platform = "el"' in text and "Rocky Linux 9.4" in text
