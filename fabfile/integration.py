"""The top-level tasks: the whole chain, its plan, its proof and its way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fabfile.command import FLAGS, command, converging
from fabfile.core.contract import INV

if TYPE_CHECKING:
    from invoke import Context

    from fabfile.flow.session import Options
    from fabfile.resources.resource import Resource


@command
def integrate() -> Sequence[Resource]:
    """Put this site's OpenStack onto its Ceph: all steps, as one plan."""
    from fabfile.resources import chain  # noqa: PLC0415 (start-up time)

    return chain.RESOURCES


@command(
    flags=("site", "limit", "out", "json", "forks", "max_fail", "engine"),
    texts={"out": f"keep the plan in a new file, for {INV} apply"},
)
def plan(context: Context, options: Options, out: str = "") -> int:
    """Show all that integrate would do, with diffs; write nothing on any host."""
    from fabfile.flow import plan_file  # noqa: PLC0415 (start-up time)
    from fabfile.resources import chain  # noqa: PLC0415 (start-up time)

    with converging(context, replace(options, check=True, diff=True), "plan") as converger:
        found = converger.preview(chain.RESOURCES)
        if out and found:
            plan_file.save(out, converger.session, found)
        elif out:
            converger.screen.say(f"{out}: not written: there is nothing to keep")
        converger.report(found)
    return 0


@command(
    flags=("yes", "json", "forks", "serial", "max_fail", "engine", "canary"),
    texts={
        "file": f"a plan by {INV} plan --out",
        "max_fail": f"{FLAGS['max_fail'][1]} (default: as for the plan)",
    },
)
def apply(context: Context, options: Options, file: str) -> int:
    """Carry out a kept plan and nothing else; refuse if anything changed since."""
    from fabfile.flow import plan_file  # noqa: PLC0415 (start-up time)
    from fabfile.resources import chain  # noqa: PLC0415 (start-up time)

    kept = plan_file.load(file)
    options = replace(
        options,
        site=plan_file.site_of(kept),
        plan=file,
        limit=kept["limit"],
        diff=True,
        max_fail=options.max_fail or kept["max_fail"],
    )
    with converging(context, options, "apply") as converger:
        converger.leave_out(plan_file.left_out(kept))
        return converger.report(converger.apply_kept(chain.RESOURCES, kept["changes"]))


@command(
    flags=("site", "limit", "check", "diff", "yes", "json", "forks", "serial", "engine"),
    texts={"run": f"the run to take back (default: this site's last; see {INV} history)"},
)
def undo(context: Context, options: Options, run: str = "") -> int:
    """Take a run back: files, caps, secrets and services; never a pool, never data."""
    from fabfile.flow import history as runs  # noqa: PLC0415 (start-up time)

    # What the cluster holds is taken away last, from under whoever would be left behind.
    with converging(context, replace(options, max_fail="0"), "undo") as converger:
        stage = runs.undone(run, converger.site, converger.session.limited)
        return converger.report(converger.converge([stage.resource]))


@command(
    flags=("site", "limit", "check", "diff", "yes", "json", "forks", "serial", "engine"),
    texts={
        "backend": "one of Cinder's backends: its section in cinder.conf",
        "store": "one of Glance's RBD stores",
        "client": "a cephx user by which no service of the site file logs in (or CLUSTER/NAME)",
        "cluster": "one of [clusters], with all backends and stores that are on it",
        "and_pool": "a pool that is deleted too, by its name: empty, the trash included",
    },
)
def remove(  # noqa: PLR0913, PLR0917 (each is a flag)
    context: Context,
    options: Options,
    backend: str = "",
    store: str = "",
    client: str = "",
    cluster: str = "",
    and_pool: str = "",
) -> int:
    """Take a backend, store, client or cluster out of the cloud again; refuse what is in use."""
    from fabfile.resources import removal  # noqa: PLC0415 (start-up time)

    asked = removal.Asked(backend, store, client, cluster, and_pool)
    # Keys and users go last, from under whoever would be left behind.
    with converging(context, replace(options, max_fail="0"), "remove") as converger:
        removal.gone(converger.site, asked)
        stage = removal.Removal(asked, converger.session.limited)
        return converger.report(converger.converge([stage.resource]))


@command(
    flags=("site", "json"),
    texts={"site": "the site file whose runs are meant (default: those of all sites)"},
    local=True,
)
def history(context: Context, options: Options) -> int:
    """List the runs recorded here: when, what, by whom, and how they ended."""
    from fabfile.flow import history as runs  # noqa: PLC0415 (start-up time)

    return runs.history(options.json, options.site)


@command(
    flags=("json",),
    texts={"run": f"its name in {INV} history (default: the newest)"},
    local=True,
    positional=["run"],
)
def show(context: Context, options: Options, run: str = "") -> int:
    """Show one run: what was planned, what was done, how it ended."""
    from fabfile.flow import history as runs  # noqa: PLC0415 (start-up time)

    return runs.show(run, options.json)


@command(
    flags=("site", "limit", "json", "canary", "sample", "at_once"),
    texts={
        "limit": "computes to prove it on",
        "canary": "on every compute: boot from volume, attach, write, snapshot, live migration",
        "sample": "with --canary: on N or N% of the computes, chosen by chance",
        "at_once": "with --canary: computes at a time (default: verify.at_once of the site file)",
    },
)
def verify(
    context: Context, options: Options, canary: bool = False, sample: str = "", at_once: str = ""
) -> int:
    """Prove it: an image, a volume, a clone, a guest that writes; all removed again."""
    from fabfile.core.contract import BadInput  # noqa: PLC0415 (start-up time)
    from fabfile.flow.proof import verify as proof  # noqa: PLC0415 (start-up time)

    if canary:
        return proof.canary(context, options, sample, at_once)
    if sample or at_once:
        raise BadInput("verify: --sample and --at-once are for --canary: give that too")
    return proof.prove(context, options)


@command(
    flags=("out", "cloud", "ceph", "json"),
    texts={
        "out": "where to write it, never over an existing file (default: mysite.toml)",
        "schema": "write the site file's JSON schema instead, by which editors complete it "
        "(default of --out: site.schema.json)",
        "cloud": "look at this cloud of clouds.yaml, and describe it as it is (docs/adopt.md)",
        "ceph": "the host with the cluster's admin keyring; more of Ceph's hosts with commas, "
        "those of other clusters too",
        "inventory": "an inventory of Ansible's, INI or YAML (Kolla's too), for hosts' names",
        "clouds_yaml": "the clouds.yaml (default: openstacksdk's usual places)",
        "ssh_config": "the SSH configuration (default: ~/.ssh/config)",
        "sudo_password_command": "what prints sudo's password, where sudo wants one",
    },
)
def init(  # noqa: PLR0913, PLR0917 (each is a flag)
    context: Context,
    options: Options,
    out: str = "",
    cloud: str = "",
    ceph: str = "",
    inventory: str = "",
    clouds_yaml: str = "",
    ssh_config: str = "",
    sudo_password_command: str = "",
    schema: bool = False,
) -> int:
    """Write a site file: a commented start, or with --cloud what a running cloud is like."""
    if schema:
        from fabfile.flow.inspect import effective  # noqa: PLC0415 (start-up time)

        return effective.write_schema(out)
    out = out or "mysite.toml"
    from fabfile.core import site_file  # noqa: PLC0415 (start-up time)

    if not (cloud or ceph or inventory):
        return site_file.start(out)
    from fabfile.flow.inspect import adopting  # noqa: PLC0415 (start-up time)

    asked = adopting.Asked(
        out, cloud, ceph, inventory, clouds_yaml, ssh_config, sudo_password_command
    )
    return adopting.adopt(context, options, asked)
