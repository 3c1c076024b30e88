"""Starts the servers that the tests of commands talk to, each on a Unix socket in a directory of the test."""

import os
import socket
import subprocess
import time


def default_zslabd():
    """The zslabd of the build: named by ZSLABD, else the one in build/bin."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.environ.get("ZSLABD", os.path.join(root, "build", "bin", "zslabd"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, directory, name, command):
        self.address = os.path.join(directory, name + ".sock")
        self.log_path = os.path.join(directory, name + ".log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.address)
                    return
                except OSError:
                    time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise RuntimeError("%s did not start:\n%s" % (self.process.args, self.log()))

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def stop(self):
        """Ends the server, which has to end well."""
        self.process.terminate()
        status = self.process.wait(timeout=20)
        if status != 0:
            raise RuntimeError("%s ended with %d:\n%s" % (self.process.args, status, self.log()[-4000:]))


class Redis(Server):
    def __init__(self, directory):
        socket_path = os.path.join(directory, "redis.sock")
        super().__init__(directory, "redis", ["redis-server", "--port", "0", "--unixsocket", socket_path, "--save", "",
                                              "--appendonly", "no", "--dir", directory])


class Zslabd(Server):
    def __init__(self, directory, program, *options):
        socket_path = os.path.join(directory, "zslabd.sock")
        self.port = free_port()
        super().__init__(directory, "zslabd", [program, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket",
                                               socket_path, *options])
