"""stackrbd: puts an OpenStack onto an existing Ceph cluster's RBD.

`inv` finds the tasks through tasks.py, `fab` finds them here.
"""

import gc

from invoke import Collection

from fabfile import ceph, compute, controller, diagnostics, hosts, integration, recovery, services
from fabfile.core import output

# Nearly all that a run makes it needs to its end: to look through it after each 700 objects finds
# nothing, and takes 5 % of the time.
gc.set_threshold(50_000, 20)


def namespace() -> Collection:
    """All tasks, in the namespaces that an operator types."""
    root = Collection(
        integration.plan,
        integration.integrate,
        integration.apply,
        integration.verify,
        integration.undo,
        integration.remove,
        integration.history,
        integration.show,
        integration.init,
        diagnostics.config,
        diagnostics.doctor,
        diagnostics.status,
        diagnostics.report,
        recovery.reconcile,
        recovery.recover,
    )
    root.add_task(diagnostics.now, default=True)
    root.add_collection(
        Collection(
            "backup",
            recovery.create,
            recovery.list_,
            recovery.verify,
            recovery.restore,
            recovery.settle,
            recovery.tools,
            recovery.key,
        )
    )
    root.add_collection(
        Collection(
            "ceph",
            ceph.pools,
            ceph.auth,
            ceph.clones,
            ceph.keyrings,
            ceph.mons,
            ceph.rotate,
            ceph.request,
        )
    )
    root.add_collection(Collection("controller", controller.glance, controller.cinder))
    root.add_collection(Collection("compute", compute.secret, compute.nova))
    root.add_collection(
        Collection(
            "hosts",
            hosts.sudoers,
            hosts.packages,
            hosts.conf,
            hosts.deployer,
            hosts.check,
            hosts.trust,
        )
    )
    root.add_collection(Collection("services", services.restart))
    return root


output.survive_readers()
ns = namespace()
