# SPDX-License-Identifier: MIT
"""Pages as a real browser sees them. What failed to load, what went wrong in scripts, what was drawn."""

import json
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from bench.page.dashboard import Handler

SECONDS = 20  # for a page to be as it should
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the pages are ours, and root may not have one
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# Goes first into every page, so that no failure is missed while the page is made.
RECORDER = """<script>
window.failures = [];
addEventListener("error", e => failures.push(e.message || "not loaded: " + (e.target.src || e.target.href)), true);
addEventListener("unhandledrejection", e => failures.push("unhandled: " + e.reason));
for (const name of ["error", "warn"]) {
  const before = console[name];
  console[name] = (...words) => { failures.push(name + ": " + words.join(" ")); before.apply(console, words); };
}
</script>"""

# One page after the other in a frame, until each is as it should be or has had its time.
PROBE = """<!doctype html><title>probe</title><body><script>
const seconds = %d, pages = %s;
window.painted = view => [...view.document.querySelectorAll("canvas")].filter(canvas => canvas.width && canvas.height)
  .map(canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data)
  .reduce((sum, data) => sum + data.filter((byte, index) => index %% 4 == 3 && byte).length, 0);
async function look(page) {
  const frame = document.createElement("iframe");
  frame.width = 1200; frame.height = 900; frame.src = page.address;
  document.body.append(frame);
  await new Promise(done => frame.onload = done);
  const good = new Function("view", "painted", "return " + page.condition), end = Date.now() + 1000 * seconds;
  let ready = false;
  while (!(ready = Boolean(good(frame.contentWindow, painted))) && Date.now() < end)
    await new Promise(done => setTimeout(done, 50));
  const view = frame.contentWindow;
  const found = {
    ready, failures: view.failures, painted: painted(view), text: view.document.body.innerText,
    elsewhere: view.performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith(location.origin)),
  };
  frame.remove();
  return found;
}
(async () => {
  const found = [];
  for (const page of pages) found.push(await look(page).catch(error => ({ready: false, failures: [String(error)]})));
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""


def browser():
    """A Chromium, or None."""
    found = (shutil.which(name) for name in (os.environ.get("CHROMIUM", ""), *NAMES) if name)
    installed = Path.home().glob(".cache/ms-playwright/chromium*/chrome-linux*/*chrome*")
    return next(filter(None, found), None) or next((str(p) for p in installed if os.access(p, os.X_OK)), None)


class Watching(Handler):
    """The dashboard's server, with the recorder in each page. It keeps the requests that failed."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if self.path == "/probe":
            self.answer(self.server.probe.encode())
        elif path.suffix == ".html" and path.exists():
            self.answer(path.read_text().replace("<head>", f"<head>{RECORDER}", 1).encode())
        else:
            super().do_GET()

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(b"")
        self.server.done.set()

    def log_error(self, format, *arguments):
        if self.path != "/favicon.ico":  # the browser's own idea, for the probe
            self.server.failed.append(f"{self.path}: {format % arguments}")


@contextmanager
def watching(folder, pages):
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *arguments: Watching(*arguments, directory=str(folder)))
    server.probe = PROBE % (SECONDS, json.dumps(pages))
    server.failed, server.done = [], threading.Event()
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def visit(folder, pages, scratch):
    """Look at pages, dicts of an address and a condition in JavaScript. What was found in each, and failed requests."""
    with watching(folder, pages) as server, open(scratch / "browser.log", "w") as log:
        command = (browser(), *OPTIONS, f"--user-data-dir={scratch}", f"http://127.0.0.1:{server.server_port}/probe")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            assert server.done.wait(SECONDS * (len(pages) + 1)), (scratch / "browser.log").read_text()[-2000:]
        finally:
            process.terminate()
            process.wait()
    return server.found, server.failed
