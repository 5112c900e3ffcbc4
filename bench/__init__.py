"""Measures stackrbd against its peers, on a fleet that is simulated on this machine.

Needs root, Debian's tools and the network once (packages go into a cache); knows nothing
of the product but its command line and its site file.
"""
