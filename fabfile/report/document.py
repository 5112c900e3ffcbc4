"""The document that all readers are told from: plain data, as report.json has it.

Knows how findings, secrets, a plan and records of runs become data; decides nothing of them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from fabfile.core.contract import CLOUD, Change, Json
from fabfile.doctor import finding, keys, parts, secret_holders
from fabfile.doctor.finding import Finding, healthy
from fabfile.doctor.observation import Looked
from fabfile.doctor.pending_plan import Planned
from fabfile.doctor.secret_holders import Place
from fabfile.doctor.summary import summary
from fabfile.model.releases import PACKAGES
from fabfile.model.site import Site
from fabfile.report.shapes import Client, Holder, Host, Pending, Run, Seen, State, Told
from fabfile.resources import by_place, keyrings

FORMAT = 1
Changes = Sequence[tuple[str, Change]]
_ROLE_OF = {"glance": "glance", "cinder": "cinder", "nova": "compute"}
"""The role of a keyring's owner."""
_CHECK = ("name", "ok", "detail", "seconds", "host")
_SHOWN = {**{name: name.partition("-")[0] for name in PACKAGES}, "librbd1": "librbd"}
_NETWORK = r"^\s*(public|cluster)[_ ]network\s*=\s*([^#;\n]+)"


def document(  # noqa: PLR0913, PLR0917 (what was looked at, by name)
    site: Site,
    looked: Looked,
    findings: Sequence[Finding],
    places: Sequence[Place],
    planned: Planned,
    words_of_site: str,
) -> State:
    """The site's state: all of the document but who made it, and the runs.

    planned: what integrate would do.  words_of_site: as finding.commands has them.
    """
    told = hosts(site, looked, findings, planned.changes)
    state = summary(site, looked, planned)
    return {
        "stackrbd report": FORMAT,
        "site": site.name,
        "healthy": healthy(findings) and not looked.unreachable,
        "counts": finding.counts(findings),
        "asked": sum(host["state"] != "not asked" for host in told),
        "answered": sum(host["state"] == "answered" for host in told),
        **state,
        "cloud": CLOUD in looked.facts.hosts,
        "findings": [finding.as_data(one, site, words_of_site) for one in findings],
        "secrets": [asdict(place) for place in places],
        "holders": holders(site, places),
        "clients": clients(site, looked, places),
        "pending": folded(planned.changes),
        "monitors": monitors(site, looked),
        "networks": networks(looked),
        "hosts": told,
    }


def sentence(document: State) -> str:
    """What was found, and how many hosts answered, as doctor says it."""
    return finding.sentence(document["counts"], document["answered"], document["asked"])


def hosts(site: Site, looked: Looked, findings: Iterable[Finding], changes: Changes) -> list[Host]:
    """Each host: who it is, what runs there, what was found and what is pending there."""
    found: dict[str, Counter[str]] = {}
    for one in findings:
        for host in one.hosts:
            found.setdefault(host, Counter())[one.severity] += 1
    pending = Counter(change.host for _, change in changes)
    return [
        {
            "name": host.name,
            "roles": list(host.roles),
            "address": host.address,
            **_seen(looked, host.name),
            "findings": dict(found.get(host.name, {})),
            "pending": pending[host.name],
        }
        for host in site.all_hosts()
    ]


def _seen(looked: Looked, host: str) -> Seen:
    seen = looked.facts.hosts.get(host, {})
    asked = "answered" if host in looked.facts.hosts else "not asked"
    state = "silent" if host in looked.unreachable else asked
    versions = seen.get("packages", {})
    return {
        "state": state,
        "system": seen.get("host", {}).get("name", ""),
        "versions": {
            shown: re.sub(r"^\d+:", "", str(versions[name])).partition("-")[0]
            for name, shown in _SHOWN.items()
            if versions.get(name)
        },
        "units": {u: s.get("ActiveState", "") for u, s in seen.get("units", {}).items()},
    }


def holders(site: Site, places: Iterable[Place]) -> list[Holder]:
    """Who holds which client's key, by role: hosts of one state together.

    state: 'ok', 'odd' (said: what) or 'not seen'; by: 'keyring' or 'libvirt secret'.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for place in places:
        for host in place.hosts:
            found.setdefault((place.kind, host, place.client), []).append(place.odd)
    together: dict[tuple[str, str, str, str, str], list[str]] = {}
    for host, role, client, by in _holding(site):
        kind = by.partition(" ")[0]
        odd = found.get((kind, host, client))
        said = ", ".join(dict.fromkeys(filter(None, odd or ())))
        state = "odd" if said else "not seen" if odd is None else "ok"
        together.setdefault((role, client, by, state, said), []).append(host)
    return [
        {"role": role, "client": client, "by": by, "state": state, "said": said, "hosts": names}
        for (role, client, by, state, said), names in together.items()
    ]


def _holding(site: Site) -> Iterable[tuple[str, str, str, str]]:
    """(host, role, client, by) as it should be."""
    for part in site.parts:
        for place in part.places:
            for host in place.all_hosts():
                for binding in keyrings.wanted(place, host):
                    label = secret_holders.label_of(part, binding.client)
                    yield host.name, binding.service.role, label, "keyring"
        for host in part.all_hosts():
            for client in part.secrets_on(host):
                label = secret_holders.label_of(part, client)
                yield host.name, "compute", label, "libvirt secret"


def clients(site: Site, looked: Looked, places: Iterable[Place]) -> dict[str, Client]:
    """{client: its key's fingerprint, when it was made (or None), and its pools}."""
    values = {place.client: place.value for place in places if place.kind == "Ceph"}
    return {
        label: {
            "value": values.get(label, ""),
            "made": keys.made(part, parts.looked_of(part, looked)).get(name),
            "rwx": list(client.rwx),
            "rx": list(client.rx),
        }
        for part in site.parts
        for name, client in part.clients.items()
        for label in [secret_holders.label_of(part, name)]
    }


def folded(changes: Changes) -> list[Pending]:
    """What is pending, by task; equal changes of several hosts as one."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for task, c in changes:
        found.setdefault((task, c.sign, c.thing, c.sentence), []).append(c.host)
    return [
        {"task": task, "sign": sign, "thing": thing, "sentence": sentence, "hosts": names}
        for (task, sign, thing, sentence), names in found.items()
    ]


def monitors(site: Site, looked: Looked) -> list[str]:
    """The monitors' addresses, as the map has them."""
    return [
        str(m.get("addr") or m.get("public_addr", "")).partition("/")[0]
        for part in site.parts
        if (answer := parts.looked_of(part, looked).seen(part.admin.name, "ceph.monmap"))
        for m in json.loads(answer["out"])["mons"]
    ]


def networks(looked: Looked) -> dict[str, list[str]]:
    """{'public': [network]}: what the hosts' ceph.conf say; most say nothing."""
    found: dict[str, list[str]] = {}
    for seen in looked.facts.hosts.values():
        files = [file for name, file in seen.items() if by_place.is_of(name, "ceph.conf")]
        text = "\n".join(file["text"] for file in files if file)
        for kind, network in re.findall(_NETWORK, text, re.M):
            known = found.setdefault(kind, [])
            known += [network.strip()] * (network.strip() not in known)
    return found


# Runs


def ran(told: Told, events: Sequence[Mapping[str, Json]], changes: Sequence[Json]) -> Run:
    """One run: told (as history has it), when, and what was planned and done in it.

    changes: its plan, as the journal keeps it; equal steps of several hosts are one.
    """
    done = {(e["host"], e.get("step")) for e in events if e["event"] == "done" and "host" in e}
    together: dict[tuple[str, str, str], list[tuple[str, bool]]] = {}
    for number, c in enumerate(changes):
        step = together.setdefault((c["sign"], c["thing"], c["sentence"]), [])
        step.append((c["host"], (c["host"], number) in done))
    return {
        **told,
        "began": events[0]["time"],
        "ended": events[-1]["time"],
        "code": events[-1].get("code"),
        "why": str(events[-1].get("why", "")),
        "steps": [
            {
                "sign": sign,
                "thing": thing,
                "sentence": sentence,
                "hosts": [host for host, _ in on],
                "done": sum(d for _, d in on),
            }
            for (sign, thing, sentence), on in together.items()
        ],
        "checks": [
            {"host": "", **{name: e[name] for name in _CHECK if name in e}}
            for e in events
            if e["event"] == "proof"
        ],
    }


def last(runs: Iterable[Run], verify: bool) -> Run | None:
    """The newest run that is a verify, or none."""
    return next((run for run in runs if (run["task"] == "verify") == verify), None)
