# SPDX-License-Identifier: MIT
"""Other people's software on mpfast: `make clients`. README.md of the tests says what each client has to do.

run.py WHEEL FOLDER [--suites] [CLIENT ...] makes a virtual environment in the folder, installs the clients and the
wheel, and prints a table. Exit status: 0 if nothing is lost, 1 if something is, 2 if nothing could be installed.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
INSIDE = "--inside"  # said by the run outside the environment to the one in it


def pip(python, *words):
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [python, "-m", "pip", "install", "--quiet", *map(str, words)]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL).returncode == 0


def environment(folder, wheel, *lists):
    """The python of an environment with the clients and mpfast. None if they are not there, and there is no network."""
    place, python = folder / "venv", folder / "venv/bin/python"
    stamp = folder / "installed"
    wanted = "".join(path.read_text() for path in lists)
    if not stamp.exists() or stamp.read_text() != wanted:
        stamp.unlink(missing_ok=True)
        venv.create(place, clear=True, with_pip=True)
        if not pip(python, *(word for path in lists for word in ("--requirement", path))):
            return None
        stamp.write_text(wanted)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    mine = place / "mpfast.sha256"
    if not mine.exists() or mine.read_text() != digest:
        if not pip(python, "--no-deps", "--force-reinstall", wheel):
            return None
        mine.write_text(digest)
    return python


def outside(wheel, folder, *words):
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    lists = [HERE / "requirements.txt", HERE / "suites.txt"]
    python = environment(folder, Path(wheel).absolute(), *lists)
    if python is None:
        print("the clients cannot be installed (no network?): nothing was tried")
        return 2
    # The project's own folder must not be seen: what is tried is the wheel.
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MPFAST_EXPECT_DIR")}
    command = [python, HERE / "run.py", INSIDE, folder, *words]
    return subprocess.run([str(word) for word in command], cwd=folder, env=clean).returncode


def tried(client, way, method, shared):
    """What one run says, or the reason why it cannot be tried."""
    from clients import Case, Skipped

    with tempfile.TemporaryDirectory(prefix="client-", ignore_cleanup_errors=True) as folder:
        try:
            return str(client.check(Case(way, method, Path(folder), shared))).replace("|", "/")
        except Skipped as reason:
            return reason


def verdict(client, plain, ours):
    """ok, gain or loss of mpfast's ways against multiprocessing."""
    if any(not isinstance(said, str) for said in (plain, *ours)):
        return "skipped"
    good = client.expected or plain
    if all(said == good for said in ours):
        return "ok" if plain == good else "gain"
    return "loss" if plain == good else ("same" if all(said == plain for said in ours) else "differs")


def row(client, method, shared):
    """The line of the table, and its verdict."""
    plain, *ours = (tried(client, way, method, shared) for way in client.ways)
    ways = client.ways[1:]
    each = [f"{way}: {said}" for way, said in zip(ways, ours, strict=True)]
    text = str(ours[0]) if len({str(said) for said in ours}) == 1 else "; ".join(each)
    how = verdict(client, plain, ours)
    return f"| {client.name} | {client.version} | {method} | {plain} | {text} | {how} |", how


def table(names):
    import clients

    found = [client for client in clients.CLIENTS if not names or client.name in names]
    unknown = set(names) - {client.name for client in found}
    if unknown:
        sys.exit(f"there is no client {', '.join(sorted(unknown))}: {', '.join(c.name for c in clients.CLIENTS)}")
    count = Counter()
    print("| client | version | start method | multiprocessing | mpfast | |\n|---|---|---|---|---|---|", flush=True)
    for client in found:
        with tempfile.TemporaryDirectory(prefix="client-", ignore_cleanup_errors=True) as shared:
            for method in client.methods:
                text, how = row(client, method, Path(shared))
                print(text, flush=True)
                count[how] += 1
    print(", ".join(f"{number} {how}" for how, number in sorted(count.items())))
    return 1 if count["loss"] else 0


def inside(folder, *words):
    sys.path.insert(0, str(HERE))
    import running

    running.adopt()
    if "--suites" not in words:
        return table(words)
    import suites

    versions = dict(line.split("==") for name in ("requirements", "suites") for line in listed(f"{name}.txt"))
    return suites.main(Path(folder) / "sources", versions, *(word for word in words if word != "--suites"))


def listed(name):
    return (HERE / name).read_text().split()


if __name__ == "__main__":
    if sys.argv[1] == INSIDE:
        sys.exit(inside(*sys.argv[2:]))
    sys.exit(outside(*sys.argv[1:]))
