# SPDX-License-Identifier: MIT
"""Runs pytest in another place: `python surroundings.py PLACE [what pytest takes]`.

The process that runs the tests is in that place itself, and so are the processes that the tests start.
"""

import os
import subprocess
import sys

import deny
import procfs
import pytest
import rights

OWN_PIDS = ["unshare", "--pid", "--fork", "--kill-child"]
FIRST = ["sh", "-c", '"$@"; exit $?', "sh"]  # the first process of a namespace has to wait for orphans


def nobody():
    """A process of root's that has given up its rights. The kernel lets no other process look into it."""
    rights.drop()
    assert os.geteuid() == rights.NOBODY
    assert not rights.dumpable()


def foreign_proc():
    """A namespace of pids whose processes see the /proc of the one outside."""
    assert procfs.foreign()


def no_taking():
    """No process takes a descriptor of another one: Yama with ptrace_scope 2 or 3 does that, and so do containers."""
    deny.deny("pidfd_getfd=EPERM", "process_vm_readv=EPERM")


PLACES = {place.__name__: place for place in (nobody, foreign_proc, no_taking)}


def before(place):
    """What has to run Python, for that place. Skips the test where there can be no such place."""
    if place == "no_taking" and not deny.possible():
        pytest.skip("the numbers of the system calls are not known")
    if place != "no_taking" and os.geteuid() != 0:
        pytest.skip("only root has rights to give up, and may make a namespace of pids")
    if place != "foreign_proc":
        return []
    tried = subprocess.run([*OWN_PIDS, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no namespace of pids can be made here: {tried.stderr.strip()}")
    return [*OWN_PIDS, *FIRST]


if __name__ == "__main__":
    PLACES[sys.argv[1]]()
    sys.exit(pytest.main(sys.argv[2:]))
