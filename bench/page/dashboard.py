# SPDX-License-Identifier: MIT
"""`make dashboard` publishes the recorded history, with our page beside it, and serves both.

asv's pages fetch scripts and styles from three other sites. Here these come from the npm registry, once, pinned by
version and checked against a sha512. After that no network is needed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .. import ROOT
from ..history import asv, databranch
from ..history.databranch import BranchError
from .assets import OF_ASV, AssetError, fetch

PUBLISHED, NOT_PUBLISHED = 0, 2
BUILD = Path(ROOT, "build")
REMOTE_TAG = re.compile(r'<(script|link)\b[^>]*?(?:src|href)="(https://[^"]+)"[^>]*>(?:</script>)?')
ASV_HOME = '<li id="nav-li-" class="active">'
BODY = re.compile(r"<body[^>]*>")

# asv's pages ask for addresses on other sites. A part of the address, and the file that stands for it.
STANDS_FOR = (
    ("/jquery-3.3.1", "jquery/dist/jquery.min.js"),
    ("/jquery.flot.min.js", "flot/jquery.flot.js"),
    ("/jquery.flot.time", "flot/jquery.flot.time.js"),
    ("/jquery.flot.selection", "flot/jquery.flot.selection.js"),
    ("/jquery.flot.categories", "flot/jquery.flot.categories.js"),
    ("/jquery.flot.orderBars", "flot-orderbars/js/jquery.flot.orderBars.js"),
    ("/stupidtable", "stupid-table-plugin/stupidtable.min.js"),
    ("/blueimp-md5/", "blueimp-md5/js/md5.min.js"),
    ("/bootstrap.min.js", "bootstrap/dist/js/bootstrap.min.js"),
    ("/bootstrap.min.css", "bootstrap/dist/css/bootstrap.min.css"),
)


class PublishError(Exception):
    """There is no dashboard. The text says why."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make dashboard ARGS=...", description=__doc__)
    add = parser.add_argument
    add("--no-serve", action="store_true", help="write the pages without serving them")
    add("--port", type=int, default=0, help="port to serve at, any free one by default")
    add("--out", type=Path, default=BUILD / "dashboard", metavar="DIR", help="where the pages go")
    add("--page", type=Path, default=BUILD / "bench" / "index.html", metavar="FILE", help="the page of make bench")
    add("--repository", type=Path, default=Path(ROOT), metavar="DIR", help="its history is shown")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        make(options.repository.resolve(), options.out.resolve(), options.page)
    except (PublishError, AssetError, BranchError) as error:
        print(f"no dashboard: {error}", file=sys.stderr)
        return NOT_PUBLISHED
    print(f"dashboard: {options.out / 'index.html'}")
    if not options.no_serve:
        serve(options.out, options.port)
    return PUBLISHED


def make(repository: Path, out: Path, page: Path) -> None:
    """All pages, in a folder that is replaced. Fetches before it publishes, so that no half of a dashboard is left."""
    folder = databranch.find(repository)
    results = folder / "results" if folder else None
    if not (results and (results / "benchmarks.json").exists()):
        raise PublishError("nothing is recorded yet: make history RANGE=HEAD^!")
    if out.exists() and any(out.iterdir()) and not (out / "regressions.json").exists():
        raise PublishError(f"{out} has other things in it, which would be lost")
    vendor = fetch()
    publish(repository, results, out)
    for package in OF_ASV:
        shutil.copytree(vendor / package.name, out / "vendor" / package.name, ignore=shutil.ignore_patterns(".*"))
    index = out / "index.html"
    index.write_text(rewritten(index.read_text(), linked=page.exists()))
    if page.exists():
        (out / "bench").mkdir()
        (out / "bench" / "index.html").write_text(with_way_back(page.read_text()))
    else:
        print(f"without the comparison, because there is no {page}. make bench writes it", file=sys.stderr)


def publish(repository: Path, results: Path, out: Path) -> None:
    config = asv.configure(only_head(repository), only_measured(results), out, "publish")
    done = subprocess.run(
        (asv.command(), "publish", "--config", str(config)), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode or not (out / "index.html").exists():
        raise PublishError(f"asv publish: {(done.stdout + done.stderr).strip()}")


def only_head(repository: Path) -> Path:
    """A copy with nothing but HEAD's history. asv numbers all commits, and those of the results would leave gaps."""
    copy = asv.FOLDER / "publish" / "repository"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    databranch.git(copy, "init", "--quiet", "--bare")
    databranch.git(copy, "fetch", "--quiet", "--tags", str(repository), "+HEAD:refs/heads/published")
    databranch.git(copy, "symbolic-ref", "HEAD", "refs/heads/published")
    return copy


def only_measured(results: Path) -> Path:
    """A copy without the benchmarks that have no result yet. asv's pages would ask for graphs that are not there."""
    copy = asv.FOLDER / "publish" / "results"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(results, copy)
    measured = {name for path in copy.glob("*/*-*.json") for name in json.loads(path.read_text())["results"]}
    known = json.loads((copy / "benchmarks.json").read_text())
    kept = {name: value for name, value in known.items() if name in measured or name == "version"}
    (copy / "benchmarks.json").write_text(json.dumps(kept))
    return copy


def rewritten(index: str, linked: bool) -> str:
    """asv's page with our copies in place of other sites', and with a way to the comparison."""
    index = REMOTE_TAG.sub(lambda found: local_tag(found[1], found[2]), index)
    if linked:
        if ASV_HOME not in index:
            raise PublishError("asv's page has no navigation where bench/page/dashboard.py looks for it")
        index = index.replace(ASV_HOME, f'<li><a href="bench/index.html">Comparison</a></li>\n\t{ASV_HOME}')
    return index


def local_tag(kind: str, address: str) -> str:
    for part, file in STANDS_FOR:
        if part in address:
            if kind == "script":
                return f'<script src="vendor/{file}" onerror="js_load_failure()"></script>'
            return f'<link rel="stylesheet" href="vendor/{file}">'
    raise PublishError(f"asv's page asks for {address}, for which bench/page/dashboard.py knows no copy")


def with_way_back(page: str) -> str:
    link = '<nav class="back"><a href="../index.html">History over commits</a></nav>'
    return BODY.sub(lambda found: f"{found[0]}\n{link}", page, count=1)


class Handler(SimpleHTTPRequestHandler):
    """Files of the dashboard, and no line for each of them."""

    def log_message(self, *arguments: object) -> None:
        pass


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """For this machine only."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))


def serve(folder: Path, port: int) -> None:
    with server(folder, port) as pages:
        print(f"http://127.0.0.1:{pages.server_port}/ until Ctrl-C", flush=True)
        try:
            pages.serve_forever()
        except KeyboardInterrupt:
            print()
