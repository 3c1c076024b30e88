#!/usr/bin/python3
"""The data commands through clients that people use: Debian's python3-redis and redis-cli.

usage: test_commands_clients.py [--zslabd PROGRAM]
"""

import argparse
import collections
import concurrent.futures
import datetime
import subprocess
import sys
import tempfile
import time
import unittest

import redis

import servers


class Clients(unittest.TestCase):
    arguments = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.zslabd = servers.Zslabd(cls.directory.name, cls.arguments.zslabd, "--memory", "64m", "--workers", "2")

    @classmethod
    def tearDownClass(cls):
        cls.zslabd.stop()
        cls.directory.cleanup()

    def setUp(self):
        self.redis = redis.Redis(unix_socket_path=self.zslabd.address)
        self.redis.flushall()

    def tearDown(self):
        self.redis.close()

    def cli(self, *arguments, text=None):
        run = subprocess.run(["redis-cli", "-s", self.zslabd.address, *arguments], input=text, capture_output=True,
                             text=True, timeout=30, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout


class PythonRedis(Clients):
    def test_session_with_sliding_time_to_live(self):
        self.assertTrue(self.redis.set("session:1", b"\x00data", ex=3600))
        self.assertEqual(self.redis.getex("session:1", ex=7200), b"\x00data")
        self.assertIn(self.redis.ttl("session:1"), range(7128, 7201))
        self.assertTrue(self.redis.expire("session:1", 60))
        self.assertFalse(self.redis.expire("session:1", 60, nx=True))
        self.assertTrue(self.redis.persist("session:1"))
        self.assertEqual(self.redis.ttl("session:1"), -1)

    def test_deadline_is_never_late(self):
        self.redis.set("k", "v", px=300)
        start = time.monotonic()
        while self.redis.get("k") is not None:
            self.assertLess(time.monotonic() - start, 0.32)
            time.sleep(0.002)
        self.assertGreater(time.monotonic() - start, 0.28)

    def test_dates(self):
        moment = datetime.datetime.now() + datetime.timedelta(hours=10)
        self.redis.set("k", "v", exat=moment)
        self.assertIn(int(moment.timestamp()) - self.redis.execute_command("EXPIRETIME", "k"), range(-1, 362))

    def test_features_by_mget(self):
        features = {b"feature:%d" % i: b"value %d" % i for i in range(0, 500, 2)}
        self.redis.mset(features)
        names = [b"feature:%d" % i for i in range(500)]
        self.assertEqual(self.redis.mget(names), [features.get(name) for name in names])

    def test_counters(self):
        with self.redis.pipeline(transaction=False) as pipeline:
            for _ in range(1000):
                pipeline.incr("hits")
            self.assertEqual(pipeline.execute(), list(range(1, 1001)))
        self.assertEqual(self.redis.decrby("hits", 1), 999)
        self.assertEqual(self.redis.get("hits"), b"999")
        self.assertEqual(self.redis.incrbyfloat("hits", 0.5), 999.5)
        with self.assertRaisesRegex(redis.ResponseError, "^value is not an integer or out of range$"):
            self.redis.incr("hits")

    def test_scan_while_writing(self):
        keys = {b"stay:%d" % i for i in range(3000)}
        self.redis.mset({key: "v" for key in keys})
        seen = set()
        for count, key in enumerate(self.redis.scan_iter(match="stay:*", count=50)):
            seen.add(key)
            if count % 10 == 0:
                self.redis.mset({"come:%d:%d" % (count, i): "v" * 100 for i in range(50)})
        self.assertEqual(seen, keys)
        self.assertEqual(set(self.redis.keys("stay:*")), keys)
        self.assertEqual(len(self.redis.keys("stay:*")), len(keys))

    def test_compare_and_set(self):
        self.redis.set("lock", "mine")
        self.assertIsNone(self.redis.execute_command("SET", "lock", "new", "IFEQ", "other"))
        self.assertEqual(self.redis.execute_command("SET", "lock", "new", "IFEQ", "other", "GET", get=True),
                         b"mine")
        self.assertTrue(self.redis.execute_command("SET", "lock", "new", "IFEQ", "mine", "PX", 50000))
        self.assertEqual(self.redis.get("lock"), b"new")
        self.assertGreater(self.redis.pttl("lock"), 49000)

    def test_group_ends_at_once(self):
        with self.redis.pipeline(transaction=False) as pipeline:
            for i in range(2000):
                pipeline.execute_command("SET", "match:%d" % i, "state", "GROUP", "match 7")
            pipeline.execute()
        self.redis.set("other", "stays")
        (group,) = self.redis.execute_command("ZS.GROUPS")
        self.assertEqual(group[:4], [b"name", b"match 7", b"objects", 2000])
        self.assertEqual(self.redis.execute_command("ZS.DROP", "match 7"), 2000)
        self.assertEqual(self.redis.keys("*"), [b"other"])
        self.assertEqual(self.redis.execute_command("ZS.GROUPS"), [])
        self.assertEqual(self.redis.execute_command("ZS.DROP", "match 7"), 0)

    def run_clients(self, work, count=4):
        """Runs work(client, number) in `count` threads, each with a connection of its own."""
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            clients = [redis.Redis(unix_socket_path=self.zslabd.address) for _ in range(count)]
            for future in [pool.submit(work, client, number) for number, client in enumerate(clients)]:
                future.result()
            for client in clients:
                client.close()

    def test_updates_of_one_key_from_many_clients(self):
        def work(client, number):
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(500):
                    pipeline.incr("count")
                    pipeline.append("text", b"%d" % number)
                    pipeline.incrbyfloat("sum", 0.5)
                    pipeline.setrange("marks", number, b"%d" % number)
                pipeline.execute()

        self.run_clients(work)
        self.assertEqual(self.redis.get("count"), b"2000")
        self.assertEqual(collections.Counter(self.redis.get("text")), {ord(c): 500 for c in "0123"})
        self.assertEqual(self.redis.get("sum"), b"1000")
        self.assertEqual(self.redis.get("marks"), b"0123")

    def test_compare_and_set_from_many_clients(self):
        def work(client, _):
            done = 0
            while done < 100:
                old = client.get("n")
                done += client.execute_command("SET", "n", int(old) + 1, "IFEQ", old) is not None

        self.redis.set("n", 0)
        self.run_clients(work)
        self.assertEqual(self.redis.get("n"), b"400")

    def test_one_of_many_clients_gets_the_lock(self):
        won = []

        def work(client, number):
            for i in range(200):
                if client.set("lock:%d" % i, number, nx=True):
                    won.append(i)

        self.run_clients(work)
        self.assertEqual(sorted(won), list(range(200)))

    def test_too_big(self):
        with self.assertRaisesRegex(redis.ResponseError, r"^object of 5016 bytes \(key 16, value 5000\) does not fit "
                                                         "one slab; the limit is 4032 bytes$"):
            self.redis.set("0123456789abcdef", "x" * 5000)
        self.assertTrue(self.redis.set("0123456789abcdef", "x" * 4016))
        self.assertEqual(self.redis.get("0123456789abcdef"), b"x" * 4016)

    def test_outside_commands_are_unknown(self):
        for command in (["LPUSH", "k", "v"], ["HSET", "k", "f", "v"], ["RENAME", "k", "l"], ["MSETNX", "k", "v"],
                        ["SETBIT", "k", "1", "1"], ["COPY", "k", "l"]):
            with self.assertRaisesRegex(redis.ResponseError, "^unknown command '%s'" % command[0]):
                self.redis.execute_command(*command)

    def test_noeviction(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        full = servers.Zslabd(directory.name, self.arguments.zslabd, "--memory", "8m", "--policy", "noeviction")
        self.addCleanup(full.stop)
        client = redis.Redis(unix_socket_path=full.address)
        self.addCleanup(client.close)
        with self.assertRaisesRegex(redis.ResponseError, "^OOM command not allowed when used memory > 'maxmemory'.$"):
            for i in range(100000):
                client.set("key:%d" % i, "x" * 1000)
        self.assertEqual(client.get("key:0"), b"x" * 1000)


class RedisCli(Clients):
    def test_resp2_and_resp3(self):
        for option in ("-2", "-3"):
            self.assertEqual(self.cli(option, "set", "k", "v", "ex", "1000"), "OK\n")
            self.assertEqual(self.cli(option, "get", "k"), "v\n")
            self.assertEqual(self.cli(option, "get", "none"), "\n")
            self.assertEqual(self.cli(option, "mget", "k", "none", "k"), "v\n\nv\n")
            self.assertEqual(self.cli(option, "del", "k"), "1\n")

    def test_mass_insertion(self):
        lines = "".join("set mass:%d %d\n" % (i, i) for i in range(2000))
        self.assertEqual(self.cli(text=lines), "OK\n" * 2000)
        found = self.cli("--scan", "--pattern", "mass:*").split()
        self.assertEqual(set(found), {"mass:%d" % i for i in range(2000)})

    def test_errors(self):
        self.cli("set", "k", "word")
        self.assertEqual(self.cli("incr", "k"), "ERR value is not an integer or out of range\n\n")
        self.assertEqual(self.cli("object", "help").split("\n")[0],
                         "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
        self.assertEqual(self.cli("object", "junk", "k"), "ERR unknown subcommand 'junk'. Try OBJECT HELP.\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zslabd", default=servers.default_zslabd())
    Clients.arguments, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0]] + rest)


if __name__ == "__main__":
    main()
