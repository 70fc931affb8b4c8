"""The rivals' servers: started on private sockets in a private folder, stopped by pid."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time

# Bytes of payload, and how many chunks of it.
ROUDI_POOLS = [(128, 8192), (1088, 2048), (16448, 1024), (65600, 1024), (1048640, 64), (4194368, 32)]
# As many chunks as the others' queues hold, and names for every run of a whole comparison.
RIPSTOP_CONFIG = {
    "fabric": "perf",
    "topics": 65536,
    "rings": 16384,
    "ring_arena_bytes": "256MiB",
    "route_arena_bytes": "16MiB",
    "lanes": {"normal": 1024},
    "classes": [{"payload_bytes": size, "chunk_count": count} for size, count in [
        (256, 32768), (1 << 10, 4096), (16 << 10, 2048), (64 << 10, 1024), (1 << 20, 64), (4 << 20, 24)]],
}
PR_SET_PDEATHSIG = 1


def begin_child():
    """In every process we start: it ends with us, and goes before other work on the machine, if it may."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        # Nice counts within a session only; between sessions, the session's own does.
        with open("/proc/self/autogroup", "w", encoding="ascii") as session:
            session.write("-20")
    except OSError:
        pass  # Not root, or a kernel without autogroups.


class Servers:
    """Starts what a system needs when it is first asked for, and stops everything at the end."""

    def __init__(self, build_dir, scratch):
        self.build_dir = build_dir
        self.scratch = scratch
        self.running = []
        self.known = {}

    def arguments(self, system):
        """What a rival's program is told about its server; raises Unavailable."""
        start = {"iceoryx": self._roudi, "redis": self._redis, "nats": self._nats,
                 "ripstop-channel": self._ripstopd, "ripstop-topic": self._ripstopd}.get(system)
        if start is None:
            return []
        key = start.__name__
        if key not in self.known:
            self.known[key] = start()
        return self.known[key]

    def stop(self):
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def _path(self, name):
        return os.path.join(self.scratch, name)

    def _write(self, name, text):
        with open(self._path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self._path(name)

    def _launch(self, name, command, is_ready, environment=None):
        program = shutil.which(command[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            raise Unavailable(f"{command[0]} is not there")
        log = self._path(name + ".log")
        with open(log, "wb") as output:
            process = subprocess.Popen([program] + command[1:], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=output, cwd=self.scratch, start_new_session=True,
                                       env={**os.environ, **(environment or {})}, preexec_fn=begin_child)
        self.running.append(process)
        deadline = time.monotonic() + 10
        while not is_ready(log):
            if process.poll() is not None or time.monotonic() > deadline:
                with open(log, encoding="utf-8", errors="replace") as text:
                    last = (text.read().strip().splitlines() or ["it said nothing"])[-1]
                raise Unavailable(f"{command[0]} did not start: {last[:160]}")
            time.sleep(0.05)
        return process

    def _redis(self):
        path = self._path("redis.sock")
        process = self._launch("redis", [
            "redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
            "--client-output-buffer-limit", "pubsub 0 0 0", "--proto-max-bulk-len", "64mb",
        ], lambda log: os.path.exists(path))
        return ["--server", path, "--server-pid", str(process.pid)]

    def _nats(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = self._write("nats.conf", f'listen: "127.0.0.1:{port}"\nmax_payload: 8388608\n'
                                          "max_pending: 1073741824\n")

        def answers(_):
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        process = self._launch("nats", ["nats-server", "-c", config], answers)
        return ["--server", str(port), "--server-pid", str(process.pid)]

    def _roudi(self):
        pools = "".join(f"[[segment.mempool]]\nsize = {size}\ncount = {count}\n" for size, count in ROUDI_POOLS)
        config = self._write("roudi.toml", "[general]\nversion = 1\n\n[[segment]]\n\n" + pools)

        def is_ready(log):
            with open(log, "rb") as text:
                return b"ready for clients" in text.read()

        # RouDi is not on the way of a message: its CPU time is not part of the cost.
        self._launch("roudi", ["iox-roudi", "-c", config, "-m", "off"], is_ready)
        return []

    def _ripstopd(self):
        # Its socket lies below XDG_RUNTIME_DIR: the private folder.
        path = self._path(os.path.join("ripstop", "perf.sock"))
        program = os.path.join(self.build_dir, "daemon", "ripstopd")
        config = self._write("ripstop.json", json.dumps(RIPSTOP_CONFIG, indent=1))
        self._launch("ripstopd", [program, "--config", config], lambda log: os.path.exists(path),
                     {"XDG_RUNTIME_DIR": self.scratch})
        return ["--server", path]


class Unavailable(Exception):
    """A server that is not there; says why."""
