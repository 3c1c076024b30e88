#!/usr/bin/python3
"""The warm tier from outside: what memory has no room for is still there, also after the node was killed, and nothing
that was overwritten or deleted comes back. ZS_WARM_DEVICE names a zoned device, which is erased; else it is files."""

import os
import random
import signal
import tempfile
import time
import unittest

import raw_resp
import servers

DEVICE = os.environ.get("ZS_WARM_DEVICE")
KEYS = int(os.environ.get("ZS_WARM_KEYS", "160000"))
AT_ONCE = 100


def value(key, version):
    return ("value-%d-%d-" % (key, version) * 12)[:100].encode()


class WarmTier(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.versions = {}  # of each key; None: deleted
        self.start("--warm-format", "yes")
        self.addCleanup(self.end)

    def start(self, *more):
        warm = ["--warm", os.path.join(self.directory, "warm") + ":64mb"]
        if DEVICE:
            warm = ["--warm", DEVICE, "--warm-journal", self.directory]
        self.server = servers.Zslabd(self.directory, servers.default_zslabd(), "--memory", "16mb", "--workers", "2",
                                     *warm, *more)
        self.client = raw_resp.RawClient(("127.0.0.1", self.server.port))

    def end(self):
        self.client.close()
        if self.server.process.poll() is None:
            self.server.process.kill()
        self.server.process.wait()

    def info(self):
        text = self.client.call("INFO", "warm").split(b"\r\n", 1)[1].decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def run_all(self, commands):
        for first in range(0, len(commands), AT_ONCE):
            part = commands[first:first + AT_ONCE]
            self.client.socket.sendall(b"".join(raw_resp.encode(command) for command in part))
            for command in part:
                yield command, self.client.reply()

    def set_all(self, keys, version):
        for command, reply in self.run_all([["SET", "key:%d" % key, value(key, version)] for key in keys]):
            self.assertEqual(reply, b"+OK\r\n", command)
        self.versions.update((key, version) for key in keys)

    def delete_all(self, keys):
        for command, reply in self.run_all([["DEL", "key:%d" % key] for key in keys]):
            self.assertIn(reply, (b":0\r\n", b":1\r\n"), command)
        self.versions.update((key, None) for key in keys)

    def count_missing(self):
        """Checks every value that there is; returns how many are not."""
        missing = 0
        keys = sorted(self.versions)
        for key, (_, reply) in zip(keys, self.run_all([["GET", "key:%d" % key] for key in keys])):
            version = self.versions[key]
            if reply in (b"$-1\r\n", b"_\r\n"):
                missing += version is not None
            else:
                self.assertIsNotNone(version, "key %d was deleted" % key)
                self.assertEqual(reply, b"$100\r\n" + value(key, version) + b"\r\n")
        return missing

    def wait_until_rebuilt(self):
        deadline = time.monotonic() + 60
        while self.info()["zs_warm_rebuilding"] == "1":
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_killed_node_finds_what_was_written_and_nothing_that_is_dead(self):
        draw = random.Random(1)
        self.set_all(range(KEYS), 1)
        self.assertGreater(int(self.info()["zs_warm_objects"]), 0)
        self.assertLess(self.count_missing(), KEYS // 1000)
        self.set_all(draw.sample(range(KEYS), KEYS // 10), 2)
        self.delete_all(draw.sample(range(KEYS), KEYS // 10))
        before = int(self.info()["zs_warm_objects"])
        self.kill_and_start()
        after = self.info()
        self.assertEqual(after["zs_warm_start"], "crashed")
        self.assertGreaterEqual(int(after["zs_warm_rebuilt_objects"]), before * 99 // 100)
        self.count_missing()

    def kill_and_start(self):
        self.client.close()
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()
        self.start()
        self.wait_until_rebuilt()

    def set_in_groups(self, keys):
        commands = [["SET", "key:%d" % key, value(key, 1), "GROUP", "group:%d" % (key % 3)] for key in keys]
        for command, reply in self.run_all(commands):
            self.assertEqual(reply, b"+OK\r\n", command)

    def count_in_groups(self):
        """How many keys of each group are there."""
        there = [0, 0, 0]
        for key, (_, reply) in enumerate(self.run_all([["GET", "key:%d" % key] for key in range(KEYS)])):
            if reply not in (b"$-1\r\n", b"_\r\n"):
                self.assertEqual(reply, b"$100\r\n" + value(key, 1) + b"\r\n")
                there[key % 3] += 1
        return there

    def test_dropped_group_is_gone_from_flash_too_and_stays_gone(self):
        third = KEYS // 3
        self.set_in_groups(range(KEYS))
        self.assertGreater(int(self.info()["zs_warm_objects"]), KEYS // 5)
        self.assertGreater(min(self.count_in_groups()), third * 99 // 100)
        dropped = int(self.client.call("ZS.DROP", "group:0")[1:-2])
        self.assertGreater(dropped, third * 99 // 100)
        there = self.count_in_groups()
        self.assertEqual(there[0], 0)
        self.assertGreater(min(there[1:]), third * 99 // 100)
        again = list(range(0, KEYS, 30))
        self.set_in_groups(again)
        self.kill_and_start()
        there = self.count_in_groups()
        self.assertLessEqual(there[0], len(again))
        self.assertGreater(min(there[1:]), third // 8)
        # Groups are what they were before.
        self.client.call("ZS.DROP", "group:1")
        self.assertEqual(self.count_in_groups()[1], 0)
        self.kill_and_start()
        there = self.count_in_groups()
        self.assertEqual(there[1], 0)
        self.assertGreater(there[2], third // 8)

    def test_flush_forgets_what_is_on_flash(self):
        self.set_all(range(KEYS), 1)
        self.assertEqual(self.client.call("FLUSHALL"), b"+OK\r\n")
        self.assertEqual(self.client.call("DBSIZE"), b":0\r\n")
        self.client.close()
        self.server.stop()
        self.start()
        self.wait_until_rebuilt()
        self.assertEqual(self.info()["zs_warm_rebuilt_objects"], "0")


if __name__ == "__main__":
    unittest.main()
