"""An API that refuses, is silent or answers what is no JSON: each question and deed says so."""

from types import SimpleNamespace as Thing

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack.exceptions import HttpException
from requests.exceptions import JSONDecodeError

from fabfile.cloud import holdings, qos, servers, volume_services, volume_types
from fabfile.core.contract import Failed

ERRORS = [HttpException("no"), ConnectFailure("no"), JSONDecodeError("no", "<html>", 0)]


class Api:
    """A cloud of which every request fails in one way."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        return self if name in ("block_storage", "compute", "image") else self._fails

    def _fails(self, *_words, **_more):
        raise self.error


ASKED = {
    "volumes": holdings.volumes,
    "services": holdings.services,
    "backups": holdings.backups,
    "attachments": holdings.attachments,
    "images": holdings.images,
    "holdings": holdings.read,
    "QoS": qos.read,
    "QoS is set": lambda api: qos.ensure(api, "quick", {"total_iops_sec": "1"}, {}, False),
    "types": volume_types.read,
    "a type is set": lambda api: volume_types.ensure(api, "quick", "quick"),
    "a type is taken back": lambda api: volume_types.remove(api, "quick", made=True),
    "a backend is closed": lambda api: volume_services.close(api, "a@b"),
    "a guest is stopped": lambda api: servers.stop(api, "one"),
    "a guest moves": lambda api: servers.migrate(api, "one"),
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("asked", ASKED)
def test_it_is_said(asked, error):
    with pytest.raises(Failed, match="no"):
        ASKED[asked](Api(error))


def test_a_backend_whose_volumes_cannot_be_read_is_open_again():
    said = []

    class Closed(Api):
        def put(self, path, json):
            said.append(path)
            return Thing(status_code=200, ok=True, headers={}, url="")

    with pytest.raises(Failed, match="cannot be read"):
        volume_services.close(Closed(ERRORS[0]), "a@b")
    assert said == ["/os-services/disable", "/os-services/enable"]
