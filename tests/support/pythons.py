# SPDX-License-Identifier: MIT
"""Other interpreters, with their multiprocessing at the other end of the wire.

They are found as python3.N on the PATH, else by pyenv. MPFAST_TEST_PYTHONS adds commands, a colon between them.
"""

import functools
import os
import shlex
import shutil
import subprocess
import sys

VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


def version_of(command):
    """The version of what the command runs, or None if it runs nothing."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([*command, "-c", code], capture_output=True, text=True, timeout=30)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def of_pyenv(version):
    """pyenv's interpreter of that version, which its own name on the PATH does not run unless it is chosen."""
    if shutil.which("pyenv") is None:
        return []
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, timeout=30)
    names = [name.strip() for name in listed.stdout.split() if name.strip().rpartition(".")[0] == version]
    found = [
        subprocess.run(["pyenv", "prefix", name], capture_output=True, text=True, timeout=30).stdout.strip()
        for name in names
    ]
    return [[f"{prefix}/bin/python{version}"] for prefix in found if prefix]


@functools.cache
def listed():
    """Version -> command, of MPFAST_TEST_PYTHONS."""
    commands = [shlex.split(text) for text in os.environ.get("MPFAST_TEST_PYTHONS", "").split(":") if text]
    found = {version_of(command): command for command in commands}
    assert None not in found, "MPFAST_TEST_PYTHONS names a command that runs no Python"
    return found


@functools.cache
def command_for(version):
    """The command that runs this version, or None if there is none here."""
    if version == OWN:
        return [sys.executable]
    if version in listed():
        return listed()[version]
    for command in ([f"python{version}"], *of_pyenv(version)):
        if version_of(command) == version:
            return command
    return None
