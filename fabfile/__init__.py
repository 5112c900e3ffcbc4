"""stackrbd: puts an OpenStack onto an existing Ceph cluster's RBD.

`inv` finds the tasks through tasks.py, `fab` finds them here.
"""

from invoke import Collection

from fabfile import ceph, compute, controller, hosts, proof, recovery, services, whole


def namespace() -> Collection:
    """All tasks, in the namespaces that an operator types."""
    root = Collection(
        whole.plan,
        whole.integrate,
        whole.apply,
        whole.verify,
        whole.undo,
        whole.history,
        whole.show,
        whole.init,
        proof.doctor,
        proof.status,
        proof.report,
        recovery.reconcile,
        recovery.recover,
    )
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
    root.add_collection(Collection("ceph", ceph.pools, ceph.auth, ceph.keyrings, ceph.mons))
    root.add_collection(Collection("controller", controller.glance, controller.cinder))
    root.add_collection(Collection("compute", compute.secret, compute.nova))
    root.add_collection(
        Collection("hosts", hosts.sudoers, hosts.packages, hosts.conf, hosts.check, hosts.trust)
    )
    root.add_collection(Collection("services", services.restart))
    return root


ns = namespace()
