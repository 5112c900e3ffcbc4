"""OpenStack's own API, by openstacksdk: volume types, and the proof that it works.

Knows Keystone, Glance, Cinder and Nova as a client sees them. Does not know hosts,
SSH, configuration files or keys: what Ceph says comes from the caller. Importing
these modules is cheap; openstacksdk is loaded when it is first used.
"""
