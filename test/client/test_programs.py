#!/usr/bin/env python3
"""zslab and zslab-bench as their users run them: what they print, and their exit codes."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "node"))
import servers  # noqa: E402

ZSLAB = os.environ["ZSLAB"]
BENCH = os.environ["ZSLAB_BENCH"]


def run(program, *arguments, stdin=None):
    return subprocess.run([program, *arguments], input=stdin, capture_output=True, timeout=120)


class Programs(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.node = servers.Zslabd(cls.directory.name, servers.default_zslabd(), "--memory", "64m", "--workers", "1",
                                  *cls.options)
        cls.tcp = "127.0.0.1:%d" % cls.node.port
        cls.unix = "unix:" + cls.node.address

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()
        cls.directory.cleanup()

    def zslab(self, *arguments, address=None, code=0, stdin=None):
        """What it prints; the exit code has to be `code`."""
        done = run(ZSLAB, "--timeout", "20000", "--address", address or self.tcp, *arguments, stdin=stdin)
        self.assertEqual(done.returncode, code, done)
        if code:
            self.assertRegex(done.stderr, b"^zslab: ...")
        return done.stdout


class TestZslab(Programs):
    def test_verbs(self):
        for address in self.tcp, self.unix:
            with self.subTest(address):
                self.assertEqual(self.zslab("set", "a", "hello", address=address), b"OK\n")
                self.assertEqual(self.zslab("get", "a", address=address), b"hello\n")
                self.assertEqual(self.zslab("incr", "n", "-5", address=address), b"-5\n")
                self.assertEqual(self.zslab("incr", "n", address=address), b"-4\n")
                self.assertEqual(self.zslab("mget", "a", "n", address=address), b"a: hello\nn: -4\n")
                self.assertEqual(self.zslab("touch", "a", "no", address=address), b"1\n")
                self.assertEqual(self.zslab("expire", "a", "--ex", "100", address=address), b"")
                self.assertEqual(self.zslab("del", "a", "n", "no", address=address), b"2\n")
                self.assertIn(b"answers in", self.zslab("ping", address=address))
                self.assertIn(b"zs_version:", self.zslab("stats", address=address))
                self.assertNotIn(b"# Memory", self.zslab("stats", "server", address=address))
                self.assertIn(b"has no warm tier", self.zslab("warm", address=address))

    def test_set_options(self):
        self.assertEqual(self.zslab("set", "o", "1", "--ex", "100", "--group", "g"), b"OK\n")
        self.zslab("set", "o", "2", "--nx", code=1)
        self.assertEqual(self.zslab("set", "o", "2", "--xx", "--keepttl", "--get"), b"1\n")
        self.zslab("set", "o", "3", "--ifeq", "1", code=1)
        self.assertEqual(self.zslab("set", "o", "3", "--ifeq=2", "--group=g"), b"OK\n")
        self.assertEqual(self.zslab("drop", "g"), b"1\n")
        self.zslab("get", "o", code=1)
        self.assertEqual(self.zslab("set", "o", "-", stdin=b"a\nb"), b"OK\n")
        self.assertEqual(self.zslab("get", "o"), b"a\nb\n")
        self.zslab("set", "o", "-", stdin=b"x" * 5000, code=2)
        self.assertEqual(self.zslab("set", "--", "--xx", "--nx"), b"OK\n")
        self.assertEqual(self.zslab("get", "--", "--xx"), b"--nx\n")

    def test_not_found(self):
        self.zslab("get", "absent", code=1)
        self.zslab("expire", "absent", "--px", "5", code=1)
        self.assertEqual(run(ZSLAB, "del", "absent", "--address", self.tcp).returncode, 1)
        done = run(ZSLAB, "mget", "absent", "--address", self.tcp)
        self.assertEqual((done.returncode, done.stdout), (1, b"absent: (no such key)\n"))

    def test_usage(self):
        for line in (["get"], ["get", "a", "b"], ["set", "a"], ["nonsense"], [], ["incr", "a", "1x"], ["expire", "a"],
                     ["get", "a", "--nonsense"], ["set", "a", "b", "--ex", "0"], ["set", "a", "b", "--ex", "1", "--px",
                     "1"], ["set", "a", "b", "--nx", "--xx"], ["get", "a", "--via", "pigeon"], ["get", "a", "--ex"],
                     ["get", "a", "--help=1"], ["set", "a", "x" * 5000]):
            with self.subTest(line):
                self.zslab(*line, code=2)
        self.assertEqual(run(ZSLAB, "get", "a", "--address", "host:bad").returncode, 2)
        self.assertEqual(run(ZSLAB, "--help").returncode, 0)

    def test_transports(self):
        self.zslab("set", "a", "b")
        self.assertEqual(self.zslab("get", "a", "--via", "shm", address=self.unix), b"b\n")
        self.assertEqual(self.zslab("get", "a", "--via", "tcp", address=self.unix), b"b\n")
        self.zslab("get", "a", "--via", "rdma", code=3)
        self.zslab("get", "a", "--via", "shm", code=2)
        self.assertEqual(run(ZSLAB, "ping", "--address", "127.0.0.1:1").returncode, 3)
        self.assertIn(b"reads go by shm", self.zslab("ping", address=self.unix))

    def test_watch(self):
        lines = self.zslab("watch", "--count", "3", "--interval", "20").split(b"\n")
        self.assertEqual(len(lines), 5)
        self.assertIn(b"hits/s", lines[0])
        self.assertIn(b"1 of 1", lines[3])


class TestPassword(Programs):
    options = ("--requirepass", "secret")

    def test_password(self):
        path = os.path.join(self.directory.name, "password")
        with open(path, "w") as file:
            file.write("secret\n")
        self.assertEqual(self.zslab("set", "a", "b", "--password-file", path), b"OK\n")
        self.zslab("get", "a", code=3)
        with open(path, "w") as file:
            file.write("wrong\n")
        self.zslab("get", "a", "--password-file", path, code=3)
        self.assertEqual(run(ZSLAB, "get", "a", "--address", self.tcp, "--password-file", path + "x").returncode, 2)


class TestBench(Programs):
    def bench(self, *arguments):
        done = run(BENCH, "--keys", "2000", "--seconds", "0.1", "--value-size", "40", "--timeout", "20000", "--json",
                   *arguments)
        self.assertEqual(done.returncode, 0, done)
        return json.loads(done.stdout)

    def test_workloads(self):
        for name in ("get", "set", "mget", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"):
            with self.subTest(name):
                result = self.bench("--via", "shm", "--address", self.unix, "--workload", name, "--batch", "10")
                self.assertEqual(result["errors"], 0)
                self.assertGreater(result["ops_per_sec"], 0)
                self.assertGreaterEqual(result["p99_ns"], result["p50_ns"])
                self.assertGreater(result["p50_ns"], 0)
                self.assertGreater(result["shm_hits"], 0)

    def test_sockets(self):
        for address in self.tcp, self.unix + "," + self.tcp:
            result = self.bench("--via", "tcp", "--address", address, "--threads", "2", "--sample", "3")
            self.assertEqual((result["errors"], result["misses"], result["shm_hits"]), (0, 0, 0))
            self.assertGreaterEqual(result["requests"], result["operations"])

    def test_mistakes(self):
        for line, code in ((["--workload", "nonsense"], 2), (["--via", "pigeon"], 2), (["--keys", "0"], 2),
                           (["--value-size", "5000"], 2), (["--address", "127.0.0.1:1"], 3),
                           (["--address", ","], 2), (["--via", "rdma"], 3)):
            with self.subTest(line):
                done = run(BENCH, "--seconds", "0.1", "--keys", "10", *line)
                self.assertEqual(done.returncode, code, done)
                self.assertTrue(done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
