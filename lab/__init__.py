"""A whole small cloud on this machine: real Ceph, real OpenStack, no fakes.

Importing this package imports nothing: the tasks in `lab.tasks` load the rest
when they run.
"""
