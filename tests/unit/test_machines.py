"""Which machines the API names: its services and hypervisors, and what is no answer."""

from types import SimpleNamespace as Thing

import pytest
from keystoneauth1.exceptions import EndpointNotFound
from openstack.exceptions import HttpException

from fabfile.cloud import machines
from fabfile.core.contract import Failed


def cloud(nova=(), cinder=(), hypervisors=(), error=None):
    def listed(found):
        def ask(**flags):
            if error:
                raise error
            return iter(found)

        return ask

    compute = Thing(services=listed(nova), hypervisors=listed(hypervisors))
    return Thing(compute=compute, block_storage=Thing(services=listed(cinder)))


def service(binary, host, state="up"):
    return Thing(binary=binary, host=host, state=state)


def hypervisor(name, host=None, address="192.0.2.1"):
    return Thing(name=name, service_details={"host": host} if host else None, host_ip=address)


def test_services_and_hypervisors_by_what_they_call_themselves():
    told = machines.read(
        cloud(
            [service("nova-compute", "n1"), service("nova-scheduler", "ctl", "down")],
            [service("cinder-volume", "ctl@rbd")],
            [hypervisor("n1.example.org", "n1"), hypervisor("n2", address=None)],
        )
    )
    assert told == {
        "services": [
            {"binary": "nova-compute", "host": "n1", "up": True},
            {"binary": "nova-scheduler", "host": "ctl", "up": False},
            {"binary": "cinder-volume", "host": "ctl@rbd", "up": True},
        ],
        "hypervisors": [
            {"host": "n1", "address": "192.0.2.1"},
            {"host": "n2", "address": ""},
        ],
    }


@pytest.mark.parametrize("error", [HttpException("no"), EndpointNotFound("no")])
def test_an_api_that_does_not_answer_is_said(error):
    with pytest.raises(Failed, match="the account is an admin"):
        machines.read(cloud(error=error))


@pytest.mark.parametrize(
    "odd",
    [
        {"nova": [service("nova-compute", None)]},
        {"nova": [service(7, "n1")]},
        {"cinder": [service("cinder-volume", "a\nb")]},
        {"hypervisors": [hypervisor("n1", address=["x"])]},
    ],
)
def test_what_is_no_answer_is_not_believed(odd):
    with pytest.raises(Failed, match="expected what the API's reference has"):
        machines.read(cloud(**odd))
