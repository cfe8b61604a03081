# SPDX-License-Identifier: MIT
"""A plugin of pytest that writes what happens to each test while it happens. CLIENTS_EVENTS names the file.

The tests that the file already has are left out, so a run can go on behind a test that took pytest with it.
"""

import json
import os
from pathlib import Path

EVENTS = Path(os.environ["CLIENTS_EVENTS"])
MAIN = os.getpid()


def tell(**event):
    if os.getpid() == MAIN:  # not in a forked child of a test
        with EVENTS.open("a") as file:
            file.write(json.dumps(event) + "\n")


def pytest_collection_modifyitems(config, items):
    seen = {json.loads(line).get("start") for line in EVENTS.read_text().splitlines()}
    only = os.environ.get("CLIENTS_ONLY", "").splitlines()
    left = [item for item in items if item.nodeid not in seen and (not only or item.nodeid in only)]
    config.hook.pytest_deselected(items=[item for item in items if item not in left])
    items[:] = left


def pytest_runtest_logstart(nodeid, location):
    tell(start=nodeid)


def pytest_runtest_logreport(report):
    if report.when == "call" or not report.passed:
        outcome = "skipped" if report.skipped else report.outcome
        tell(end=report.nodeid, when=report.when, outcome=outcome, text=report.longreprtext[-4000:])


def pytest_sessionfinish(session):
    tell(done=True)
