"""The environment of what the lab runs."""

import pytest

from lab import programs


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["mount", "-t", "overlay"], True),
        (["mmdebstrap", "--mode=root"], True),
        (["chroot", "/x", "apt-get", "install"], False),
        (["nsenter", "--net=/run/netns/x", "chroot", "/x", "apt-get"], False),
    ],
)
@pytest.mark.parametrize("name", ["TMPDIR", "TMP", "TEMP"])
def test_a_folder_for_temporary_files_is_not_named_in_a_chroot(monkeypatch, words, kept, name):
    monkeypatch.setenv(name, "/dev/shm/elsewhere")
    found = programs.environment(words, {"DEBIAN_FRONTEND": "noninteractive"})
    assert (name in found) is kept
    assert found["DEBIAN_FRONTEND"] == "noninteractive"
