#!/usr/bin/python3
"""Starting and stopping: settings, what goes wrong with them, and what the machine refuses."""

import ctypes
import errno
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import raw_resp
import servers

PROGRAM = servers.default_zslabd()
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*arguments, **more):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=30, check=False, **more)


class Settings(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def write(self, text):
        path = os.path.join(self.directory.name, "z.conf")
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_sample_is_what_the_program_prints(self):
        """After a change of the settings: zslabd --print-config > config/zslabd.conf"""
        with open(os.path.join(ROOT, "config", "zslabd.conf")) as file:
            self.assertEqual(run("--print-config").stdout, file.read())

    def test_sample_is_valid(self):
        result = run("--config", os.path.join(ROOT, "config", "zslabd.conf"), "--check")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "the settings are right\n", ""))

    def test_help_names_every_setting(self):
        text = run("--help").stdout
        for line in run("--print-config").stdout.split("\n"):
            if " = " in line and not line.startswith("#"):
                self.assertIn("--%s VALUE\n" % line.split(" = ")[0], text)

    def test_version(self):
        self.assertRegex(run("--version").stdout, r"^zslabd \d+\.\d+\.\d+\n$")

    def test_wrong_settings(self):
        bad_value = self.write("port = 7380;\nmemory = \"lots\";\n")
        for arguments, words in (
                (("--port", "70000"), "--port: 'port' cannot be '70000': it must be an integer from 0 to 65535"),
                (("--prot", "1"), "--prot: unknown setting 'prot'; did you mean 'port'?"),
                (("--port",), "--port: its value is missing"),
                (("7379",), "'7379' is not a flag"),
                (("--config",), "--config: the path of the file is missing"),
                (("--config", "/nonexistent"), "/nonexistent: cannot be opened: No such file or directory"),
                (("--config", bad_value), bad_value + ":2: 'memory' cannot be 'lots': it must be bytes from 4mb to"),
                (("--policy", "mru"), "one of s3fifo|lru|lfu|noeviction"),
                (("--cpu-list", "1-"), "'cpu-list' cannot be '1-'"),
                (("--port", "0"), "nothing to listen on"),
                (("--bind", "0.0.0.0"), "'bind' has 0.0.0.0, which other hosts can reach, but no password")):
            for check in (), ("--check",):
                result = run(*check, *arguments)
                self.assertEqual(result.returncode, 1, arguments)
                self.assertTrue(result.stderr.startswith("zslabd: "), result.stderr)
                self.assertIn(words, result.stderr)
        path = self.write("# mine\nport = 7380;\nmemry = \"1g\";\n")
        self.assertEqual(run("--config", path).stderr,
                         "zslabd: %s:3: unknown setting 'memry'; did you mean 'memory'?\n" % path)

    def test_flags_win_over_the_file(self):
        path = self.write("port = 99999;\n")
        self.assertEqual(run("--check", "--config", path).returncode, 1)
        path = self.write("bind = \"0.0.0.0\";\n")
        self.assertEqual(run("--check", "--config", path).returncode, 1)
        self.assertEqual(run("--check", "--config", path, "--bind", "127.0.0.1").returncode, 0)
        self.assertEqual(run("--check", "--config", path, "--requirepass", "x").returncode, 0)
        self.assertEqual(run("--check", "--config", path, "--protected-mode", "no").returncode, 0)


class Filter:
    """A seccomp filter for a child that refuses io_uring_setup, as containers do."""

    IO_URING_SETUP = 425  # on all architectures

    def __init__(self, error):
        load_number, jump_if_equal, result = 0x20, 0x15, 0x06
        allow, refuse = 0x7fff0000, 0x00050000 | error
        self.code = b"".join(struct.pack("HBBI", *line) for line in (
            (load_number, 0, 0, 0), (jump_if_equal, 0, 1, self.IO_URING_SETUP), (result, 0, 0, refuse), (result, 0, 0, allow)))
        self.buffer = ctypes.create_string_buffer(self.code)
        self.program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(self.buffer)))
        self.prctl = ctypes.CDLL(None, use_errno=True).prctl

    def apply(self):
        no_new_privileges, set_seccomp, by_filter = 38, 22, 2
        if (self.prctl(no_new_privileges, 1, 0, 0, 0) or
                self.prctl(set_seccomp, by_filter, ctypes.byref(self.program), 0, 0)):
            raise OSError(ctypes.get_errno(), "seccomp")


class Machine(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def start(self, *options):
        zslabd = servers.Zslabd(self.directory.name, PROGRAM, "--memory", "16m", "--workers", "1", *options)
        self.addCleanup(self.stop, zslabd)
        return zslabd

    def connect(self, zslabd):
        client = raw_resp.RawClient(zslabd.address)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def stop(zslabd):
        if zslabd.process.poll() is None:
            zslabd.stop()

    def refuse(self, words, *arguments):
        """It ends at once, with one sentence."""
        result = run("--memory", "16m", "--loglevel", "error", *arguments)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(words, result.stderr)

    def test_port_in_use(self):
        first = self.start()
        self.refuse("zslabd: cannot listen on 127.0.0.1:%d: Address already in use; another program listens there" %
                    first.port, "--port", str(first.port))
        self.assertEqual(self.connect(first).call("PING"), b"+PONG\r\n")

    def test_address_of_another_host(self):
        self.refuse("cannot listen on 192.0.2.1", "--bind", "192.0.2.1", "--requirepass", "x", "--port",
                    str(servers.free_port()))
        self.refuse("which is no address of a host", "--bind", "no.such.host.invalid", "--requirepass", "x")

    def test_memory_that_cannot_be_had(self):
        self.refuse("'memory' of 60tb cannot be had", "--port", str(servers.free_port()), "--memory", "60tb")

    def test_unix_socket_paths(self):
        with open(self.path("file"), "w"):
            pass
        first = self.start()
        for path, words in ((self.path("file"), "a file that is no socket lies there"),
                            (first.address, "another program listens there"),
                            ("/nonexistent/z.sock", "No such file or directory"),
                            ("/proc/z.sock", "cannot listen on /proc/z.sock"),
                            ("/tmp/" + "x" * 120, "'unixsocket' is too long")):
            self.refuse(words, "--port", "0", "--unixsocket", path)
        self.assertEqual(self.connect(first).call("PING"), b"+PONG\r\n")

    def test_stale_unix_socket_is_replaced(self):
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(self.path("zslabd.sock"))
        stale.close()
        zslabd = self.start("--unixsocketperm", "751")
        self.assertEqual(self.connect(zslabd).call("PING"), b"+PONG\r\n")
        self.assertEqual(os.stat(zslabd.address).st_mode & 0o777, 0o751)

    def test_io_uring_that_is_refused(self):
        """auto goes on with epoll, and says why; uring does not start."""
        for error, words in ((errno.EPERM, "io_uring is forbidden here"), (errno.ENOSYS, "the kernel has no io_uring")):
            arguments = [PROGRAM, "--port", "0", "--unixsocket", self.path("s"), "--memory", "16m", "--workers", "1"]
            with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, preexec_fn=Filter(error).apply) as process:
                lines = [process.stderr.readline() for _ in range(4)]
                client = raw_resp.RawClient(self.path("s"))
                self.assertEqual(client.call("PING"), b"+PONG\r\n")
                client.close()
                process.terminate()
                self.assertEqual(process.wait(10), 0)
            self.assertRegex("".join(lines), "msg=\"event loop\" io=epoll why=\"" + words)
            result = run(*arguments[1:], "--io", "uring", "--loglevel", "error", preexec_fn=Filter(error).apply)
            self.assertEqual(result.returncode, 1)
            self.assertIn("zslabd: 'io' cannot be uring here: " + words, result.stderr)

    def test_what_the_log_says_at_start(self):
        zslabd = self.start()
        self.assertEqual(self.connect(zslabd).call("PING"), b"+PONG\r\n")
        log = zslabd.log()
        self.assertRegex(log, r"ts=\S+ level=info msg=memory size=16mb pages=")
        self.assertRegex(log, r"msg=\"event loop\" io=(io_uring|epoll)")
        self.assertIn("msg=listening address=127.0.0.1:%d\n" % zslabd.port, log)
        self.assertIn("msg=listening address=%s\n" % zslabd.address, log)

    def test_full_disk_for_the_log(self):
        zslabd = self.start("--logfile", "/dev/full", "--loglevel", "debug")
        client = self.connect(zslabd)
        for level in "info", "debug":
            self.assertEqual(client.call("CONFIG", "SET", "loglevel", level), b"+OK\r\n")
        self.assertEqual(client.call("SET", "k", "v"), b"+OK\r\n")
        self.assertRegex(client.call("INFO", "server").decode(), r"zs_log_lines_lost:[1-9]")

    def test_log_path_that_cannot_be(self):
        self.refuse("'logfile' /nonexistent/log cannot be opened: No such file or directory", "--port",
                    str(servers.free_port()), "--logfile", "/nonexistent/log")

    def test_hup_opens_the_log_again(self):
        zslabd = self.start("--logfile", self.path("log"))
        os.rename(self.path("log"), self.path("log.1"))
        os.kill(zslabd.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while not os.path.exists(self.path("log")) and time.monotonic() < deadline:
            time.sleep(0.01)
        zslabd.stop()
        with open(self.path("log")) as log:
            self.assertIn("msg=stopped", log.read())
        with open(self.path("log.1")) as log:
            self.assertNotIn("msg=stopped", log.read())

    def test_few_files_lower_maxclients(self):
        process = subprocess.Popen(["sh", "-c", "ulimit -n 400; exec \"$@\"", "sh", PROGRAM, "--port", "0", "--unixsocket",
                                    self.path("s"), "--memory", "16m", "--workers", "1"], stderr=subprocess.PIPE, text=True)
        try:
            lines = [process.stderr.readline() for _ in range(5)]
        finally:
            process.terminate()
            process.communicate(timeout=10)
        self.assertRegex("".join(lines), r"level=warn msg=\"maxclients is lowered.* wanted=10000 maxclients=264\n")

    def test_systemd_is_notified(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(self.path("notify"))
            manager.settimeout(10)
            os.environ["NOTIFY_SOCKET"] = self.path("notify")
            try:
                zslabd = self.start()
            finally:
                del os.environ["NOTIFY_SOCKET"]
            self.assertEqual(manager.recv(100), b"READY=1")
            zslabd.stop()
            self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_interrupt_stops_too(self):
        zslabd = self.start()
        zslabd.process.send_signal(signal.SIGINT)
        self.assertEqual(zslabd.process.wait(10), 0)


if __name__ == "__main__":
    unittest.main()
