"""What an operator types: `inv --list` shows it, `inv --help TASK` explains it."""

from fabfile import namespace
from lab.tasks import ns as lab

ns = namespace()
ns.add_collection(lab)
