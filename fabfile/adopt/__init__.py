"""From a cloud that runs to a site file of it: what is asked, what follows, how it is written.

Pure: who asks is flow's matter.  What hosts, the API and an inventory say is hostile until it has
the forms that a site file has.
"""
