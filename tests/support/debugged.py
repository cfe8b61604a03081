# SPDX-License-Identifier: MIT
"""A debugger's user. It runs a program under debugpy, lets each stop at a breakpoint go on, and counts the stops.

debugged.py LINE [-m MODULE] PROGRAM [ARGUMENT ...] prints "exit code N, M stops" last. A module may run the program.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time

SECONDS = 60  # in which the program must end


class Session:
    """One connection to debugpy, the program's or one of its processes', which debugpy offers by an event."""

    def __init__(self, user, host, port, **attach):
        self.user, self.number = user, 0
        self.sock = socket.create_connection((host, port))
        threading.Thread(target=self.read, daemon=True).start()
        self.ask("initialize", adapterID="python", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
        self.ask("attach", **attach)

    def ask(self, command, **arguments):
        self.number += 1
        words = {"seq": self.number, "type": "request", "command": command, "arguments": arguments}
        text = json.dumps(words).encode()
        self.sock.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))

    def read(self):
        with contextlib.suppress(OSError), self.sock.makefile("rb") as file:
            while header := file.readline():
                file.readline()
                message = json.loads(file.read(int(header.split(b":")[1])))
                if message["type"] == "event":
                    self.happens(message["event"], message.get("body", {}))

    def happens(self, event, body):
        if event == "initialized":
            self.ask("setBreakpoints", source={"path": self.user.path}, breakpoints=[{"line": self.user.line}])
            self.ask("configurationDone")
        elif event == "stopped":
            self.user.stops += 1
            self.ask("continue", threadId=body["threadId"])
        elif event == "debugpyAttach":
            Session(self.user, body["connect"]["host"], body["connect"]["port"], **body)


class User:
    def __init__(self, line, path):
        self.line, self.path, self.stops = line, path, 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def main(line, *words):
    path = next(word for word in words if word.endswith(".py"))
    port = free_port()
    options = ["--listen", f"127.0.0.1:{port}", "--wait-for-client", "--configure-subProcess", "true"]
    program = subprocess.Popen([sys.executable, "-Xfrozen_modules=off", "-m", "debugpy", *options, *words])
    user = User(int(line), path)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            Session(user, "127.0.0.1", port, connect={"host": "127.0.0.1", "port": port}, subProcess=True)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    try:
        code = program.wait(SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        code = program.wait()
    print(f"exit code {code}, {user.stops} stops", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
