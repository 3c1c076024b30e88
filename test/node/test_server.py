#!/usr/bin/python3
"""Commands about the server and its connections. Where Redis has the same, its answers are the yardstick."""

import tempfile
import threading
import time
import unittest

import raw_resp
import servers
from node_case import NodeCase

# Answers that must be the same, byte for byte.
SAME = [
    "PING", "PING x", "PING a b", "ECHO", "ECHO hi", "SELECT 0", "SELECT 99", "SELECT x", "AUTH x", "AUTH a b", "AUTH default x",
    "AUTH a b c", "HELLO 4", "HELLO x", "HELLO 2 FOO", "HELLO 3 SETNAME", "HELLO 2 AUTH", "RESET", "RESET x", "DBSIZE", "DBSIZE 1",
    "CLIENT", "CLIENT FOO", "CLIENT ID x", "CLIENT GETNAME", "CLIENT SETNAME me", "CLIENT GETNAME", "CLIENT SETNAME",
    "CLIENT LIST TYPE foo", "CLIENT LIST ID x", "CLIENT LIST ID 0", "CLIENT LIST foo", "CLIENT LIST ID 99999", "CLIENT LIST TYPE replica",
    "CLIENT KILL", "CLIENT KILL 1.2.3.4:5", "CLIENT KILL ID 0", "CLIENT KILL ID x", "CLIENT KILL TYPE foo", "CLIENT KILL USER foo",
    "CLIENT KILL ID 99999", "CLIENT KILL foo bar", "CLIENT KILL ID", "CLIENT NO-EVICT x", "CLIENT NO-EVICT ON", "CLIENT REPLY x",
    "CLIENT REPLY", "CONFIG", "CONFIG FOO", "CONFIG GET", "CONFIG GET nosuch", "CONFIG GET save", "CONFIG GET appendonly",
    "CONFIG GET APPENDONLY", "CONFIG SET", "CONFIG SET nosuch 1", "CONFIG SET timeout", "CONFIG SET timeout 0 timeout 0",
    "CONFIG SET timeout 1 x", "CONFIG SET cluster-enabled yes", "CONFIG RESETSTAT", "CONFIG RESETSTAT x", "MEMORY", "MEMORY USAGE",
    "MEMORY USAGE nokey", "MEMORY USAGE nokey SAMPLES", "MEMORY FOO", "MEMORY STATS x", "SLOWLOG", "SLOWLOG FOO", "SLOWLOG GET x",
    "SLOWLOG GET -2", "SLOWLOG GET 1 2", "SLOWLOG RESET", "SLOWLOG LEN x", "LATENCY", "LATENCY FOO", "LATENCY LATEST",
    "LATENCY HISTORY", "LATENCY HISTORY command", "LATENCY RESET", "LATENCY HISTOGRAM nosuch", "COMMAND FOO", "COMMAND COUNT x",
    "COMMAND GETKEYS", "COMMAND GETKEYS get", "COMMAND GETKEYS foo bar", "COMMAND GETKEYS ping x", "COMMAND GETKEYS get k",
    "COMMAND GETKEYS mset a 1 b 2", "COMMAND GETKEYS mget a b c", "COMMAND GETKEYS del a b", "COMMAND GETKEYS set a",
    "COMMAND LIST foo", "COMMAND LIST FILTERBY foo bar", "COMMAND LIST FILTERBY MODULE x", "COMMAND LIST FILTERBY PATTERN xge*",
    "COMMAND INFO nosuch", "COMMAND DOCS nosuch", "FLUSHALL", "FLUSHALL x", "FLUSHDB ASYNC", "FLUSHDB SYNC x", "FUNCTION",
    "FUNCTION FLUSH", "FUNCTION FLUSH SYNC", "FUNCTION FLUSH x", "TIME x", "DEBUG SLEEP 0", "QUIT",
]

# Outside of what we do: answered as Redis answers what it does not know.
UNKNOWN = ["LPUSH k v", "HSET h f v", "XADD s * f v", "EVAL x 0", "MULTI", "SUBSCRIBE c", "SETBIT k 0 1", "RENAME a b", "COPY a b",
           "MSETNX a b", "NOSUCH"]

# Redis 7.0.15 would say "unknown subcommand" for this, which came with 7.2.
NEWER = {"CLIENT SETINFO LIB-NAME redis-py": b"+OK\r\n", "CLIENT SETINFO LIB-VER 5": b"+OK\r\n",
         "CLIENT SETINFO foo bar": b"-ERR Unrecognized option 'foo'\r\n"}


class Server(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis_directory = tempfile.TemporaryDirectory()
        cls.redis = servers.Redis(cls.redis_directory.name)

    @classmethod
    def tearDownClass(cls):
        cls.redis.stop()
        cls.redis_directory.cleanup()
        super().tearDownClass()

    def pair(self):
        return self.connect(), self.connect(self.redis.address)

    def test_same_as_redis(self):
        ours, theirs = self.pair()
        ours.call("FLUSHALL")
        for line in SAME:
            command = line.split()
            if command[0] == "DEBUG":
                self.assertEqual(ours.call(*command), b"+OK\r\n")  # Redis allows it only if configured
                continue
            with self.subTest(command=line):
                self.assertEqual(ours.call(*command), theirs.call(*command))

    def test_unknown_commands(self):
        ours, _ = self.pair()
        for line in UNKNOWN:
            words = line.split()
            arguments = "".join("'%s' " % word for word in words[1:])
            self.assertEqual(ours.call(*words).decode(), "-ERR unknown command '%s', with args beginning with: %s\r\n" %
                             (words[0], arguments))

    def test_newer_commands(self):
        client = self.connect()
        for line, reply in NEWER.items():
            self.assertEqual(client.call(*line.split()), reply)
        self.assertIn(b"lib-name=redis-py lib-ver=5", client.call("CLIENT", "INFO"))

    def test_hello(self):
        ours, theirs = self.pair()

        def without_id(reply):
            before, after = reply.split(b"$2\r\nid\r\n:")
            return before + after.split(b"\r\n", 1)[1]

        for version in "3", "2":
            self.assertEqual(without_id(ours.call("HELLO", version, "SETNAME", "n")),
                             without_id(theirs.call("HELLO", version, "SETNAME", "n")))
        self.assertEqual(ours.call("CLIENT", "GETNAME"), b"$1\r\nn\r\n")
        ours.call("HELLO", "3")
        self.assertEqual(ours.call("GET", "none"), b"_\r\n")
        self.assertTrue(ours.call("CONFIG", "GET", "port").startswith(b"%1\r\n"))
        self.assertTrue(ours.call("INFO").startswith(b"="))
        self.assertEqual(ours.call("RESET"), b"+RESET\r\n")
        self.assertEqual(ours.call("GET", "none"), b"$-1\r\n")

    def test_command_table(self):
        ours, theirs = self.pair()
        names = raw_resp.elements(ours.call("COMMAND", "LIST"))
        self.assertEqual(ours.call("COMMAND", "COUNT"), b":%d\r\n" % len(names))
        self.assertTrue(ours.call("COMMAND").startswith(b"*%d\r\n*10\r\n" % len(names)))
        for name in names:
            if name.startswith(b"zs."):
                continue
            mine, their = ours.call("COMMAND", "INFO", name), theirs.call("COMMAND", "INFO", name)
            # Name and arity; the keys are the 4th to 6th elements, after the flags.
            self.assertEqual(mine.split(b"\r\n")[:5], their.split(b"\r\n")[:5], name)
            for word in b"write", b"readonly", b"denyoom", b"no_auth", b"fast":
                mine_has, their_has = (b"+" + word + b"\r\n" in r.split(b"+@")[0] for r in (mine, their))
                self.assertEqual((name, word, mine_has), (name, word, their_has))
            self.assertEqual(self.keys_of(mine), self.keys_of(their), name)
        self.assertIn(b"$7\r\nsummary\r\n$22\r\nGet the value of a key\r\n", ours.call("COMMAND", "DOCS", "get"))

    @staticmethod
    def keys_of(info):
        """First key, last key and step of a COMMAND INFO reply of one command."""
        lines = info.split(b"\r\n")
        flags = int(lines[5][1:])
        return lines[6 + flags:9 + flags]

    def test_reply_modes(self):
        client = self.connect()
        client.socket.sendall(raw_resp.encode(("CLIENT", "REPLY", "OFF")) + raw_resp.encode(("PING",)) +
                              raw_resp.encode(("GET", "a")) * 5 + raw_resp.encode(("NOSUCH",)) +
                              raw_resp.encode(("CLIENT", "REPLY", "ON")) + raw_resp.encode(("ECHO", "1")) +
                              raw_resp.encode(("CLIENT", "REPLY", "SKIP")) + raw_resp.encode(("ECHO", "2")) +
                              raw_resp.encode(("ECHO", "3")) + raw_resp.encode(("CLIENT", "REPLY", "SKIP")) +
                              raw_resp.encode(("GET", "a")) * 3)
        self.assertEqual([client.reply() for _ in range(5)], [b"+OK\r\n", b"$1\r\n1\r\n", b"$1\r\n3\r\n", b"$-1\r\n", b"$-1\r\n"])

    def test_client_list_and_kill_reach_all_workers(self):
        clients = [self.connect() for _ in range(8)]
        ids = [int(client.call("CLIENT", "ID")[1:]) for client in clients]
        for i, client in enumerate(clients):
            client.call("CLIENT", "SETNAME", "client-%d" % i)
        text = clients[0].call("CLIENT", "LIST").decode()
        for i, number in enumerate(ids):
            self.assertRegex(text, r"id=%d addr=127.0.0.1:\d+ laddr=127.0.0.1:%d .* name=client-%d .* cmd=client\|" %
                             (number, self.zslabd.port, i))
        text = clients[0].call("CLIENT", "LIST", "ID", str(ids[1]), str(ids[2])).decode()
        self.assertEqual(text.count("\nid="), 2)
        for victim in ids[1:7]:
            self.assertEqual(clients[0].call("CLIENT", "KILL", "ID", str(victim)), b":1\r\n")
        for client in clients[1:7]:
            self.assert_closed(client)
        address = "127.0.0.1:%d" % clients[7].socket.getsockname()[1]
        self.assertEqual(clients[0].call("CLIENT", "KILL", address), b"+OK\r\n")
        self.assert_closed(clients[7])
        self.assertEqual(clients[0].call("CLIENT", "KILL", "ID", str(ids[0]), "SKIPME", "yes"), b":0\r\n")
        self.assertEqual(clients[0].call("CLIENT", "KILL", "ID", str(ids[0]), "SKIPME", "no"), b":1\r\n")
        self.assert_closed(clients[0])

    def test_config(self):
        client = self.connect()

        def get(*names):
            words = raw_resp.elements(client.call("CONFIG", "GET", *names))
            return dict(zip(words[::2], words[1::2]))

        self.assertEqual(get("maxmemory", "memory"), {b"maxmemory": b"67108864", b"memory": b"67108864"})
        self.assertEqual(get("slowlog*"), {b"slowlog-log-slower-than": b"10000", b"slowlog-max-len": b"128"})
        self.assertEqual(client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "timeout", "100"), b"+OK\r\n")
        self.assertEqual(get("policy", "maxmemory-policy", "timeout"),
                         {b"policy": b"lru", b"maxmemory-policy": b"allkeys-lru", b"timeout": b"100"})
        reply = client.call("CONFIG", "SET", "timeout", "7", "policy", "mru")
        self.assertTrue(reply.startswith(b"-ERR CONFIG SET failed (possibly related to argument 'policy') - "), reply)
        self.assertIn(b"s3fifo|lru|lfu|noeviction", reply)
        self.assertEqual(get("timeout"), {b"timeout": b"100"}, "one that is wrong means that none is stored")
        self.assertEqual(client.call("CONFIG", "SET", "policy", "s3fifo", "timeout", "0"), b"+OK\r\n")
        self.assertEqual(client.call("CONFIG", "SET", "port", "1"),
                         b"-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config\r\n")

    def test_figures(self):
        client = self.connect()
        client.call("FLUSHALL")
        client.call("CONFIG", "RESETSTAT")
        client.pipeline([("SET", "f%d" % i, "v", "EX", "100") for i in range(100)])
        client.pipeline([("GET", "f%d" % i) for i in range(150)] + [("INCR", "f1"), ("GET",), ("NOSUCH",)])
        stats = self.info("stats", client)
        self.assertEqual((stats["keyspace_hits"], stats["keyspace_misses"], stats["zs_hit_ratio"]), ("100", "50", "0.6667"))
        self.assertEqual(self.info("keyspace", client)["db0"], "keys=100,expires=100,avg_ttl=0")
        self.assertEqual(stats["total_error_replies"], "3")
        self.assertEqual(self.info("errorstats", client)["errorstat_ERR"], "count=3")
        commands = self.info("commandstats", client)
        self.assertRegex(commands["cmdstat_get"], r"^calls=150,usec=\d+,usec_per_call=[\d.]+,rejected_calls=1,failed_calls=0$")
        self.assertRegex(commands["cmdstat_incr"], r"^calls=1,.*,rejected_calls=0,failed_calls=1$")
        self.assertRegex(self.info("latencystats", client)["latency_percentiles_usec_get"], r"^p50=[\d.]+,p99=[\d.]+,p99.9=[\d.]+$")
        memory = self.info("memory", client)
        parts = ("superblock", "index", "slab", "quarantine", "free")
        self.assertEqual(sum(int(memory["zs_%s_bytes" % part]) for part in parts), int(memory["zs_arena_bytes"]))
        self.assertEqual(int(memory["zs_payload_bytes"]), sum(len("f%d" % i) + 1 for i in range(100)))
        histogram = client.call("LATENCY", "HISTOGRAM", "get")
        self.assertTrue(histogram.startswith(b"*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:150\r\n$14\r\nhistogram_usec\r\n"))
        self.assertTrue(histogram.endswith(b"\r\n:150\r\n"))
        client.call("CONFIG", "RESETSTAT")
        self.assertEqual(self.info("stats", client)["keyspace_hits"], "0")
        self.assertNotIn("cmdstat_get", self.info("commandstats", client))

    def test_reset_reaches_a_worker_that_is_idle(self):
        clients = [self.connect() for _ in range(4)]
        for client in clients:
            client.pipeline([("ECHO", "x")] * 10)
        clients[0].call("CONFIG", "RESETSTAT")
        self.assertNotIn("cmdstat_echo", self.info("commandstats", clients[0]))
        clients[1].call("ECHO", "x")
        self.assertRegex(self.info("commandstats", clients[0])["cmdstat_echo"], "^calls=1,")

    def test_slowlog(self):
        client = self.connect(self.zslabd.address)
        client.call("CLIENT", "SETNAME", "slow-one")
        client.call("SLOWLOG", "RESET")
        client.call("CONFIG", "SET", "slowlog-log-slower-than", "20000", "latency-monitor-threshold", "20")
        client.call("DEBUG", "SLEEP", "0.05")
        client.call("CONFIG", "SET", "slowlog-log-slower-than", "10000", "latency-monitor-threshold", "0")
        self.assertEqual(client.call("SLOWLOG", "LEN"), b":1\r\n")
        reply = client.call("SLOWLOG", "GET")
        self.assertRegex(reply, rb"^\*1\r\n\*6\r\n:\d+\r\n:\d+\r\n:[5-9]\d{4}\r\n\*3\r\n\$5\r\nDEBUG\r\n\$5\r\nSLEEP\r\n\$4\r\n0.05\r\n")
        self.assertTrue(reply.endswith(b"$8\r\nslow-one\r\n"))
        self.assertRegex(client.call("LATENCY", "HISTORY", "command"), rb"^\*1\r\n\*2\r\n:\d+\r\n:[5-9]\d\r\n$")
        self.assertRegex(client.call("LATENCY", "LATEST"), rb"^\*1\r\n\*4\r\n\$7\r\ncommand\r\n")
        client.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
        client.call("AUTH", "default", "password")
        client.call("CONFIG", "SET", "slowlog-log-slower-than", "10000")
        self.assertNotIn(b"password", client.call("SLOWLOG", "GET"))
        self.assertIn(b"command: 1 spikes", client.call("LATENCY", "DOCTOR"))
        self.assertEqual(client.call("LATENCY", "RESET", "command"), b":1\r\n")
        client.call("SLOWLOG", "RESET")

    def test_memory(self):
        client = self.connect()
        client.call("SET", "0123456789abcdef", "x" * 128)
        usage = int(client.call("MEMORY", "USAGE", "0123456789abcdef")[1:])
        self.assertIn(usage, range(144, 170))
        client.call("SET", "counter", "1")
        client.call("INCR", "counter")
        self.assertIn(int(client.call("MEMORY", "USAGE", "counter")[1:]), range(15, 50))
        self.assertIn(b"$10\r\nkeys.count\r\n", client.call("MEMORY", "STATS"))
        self.assertTrue(client.call("MEMORY", "DOCTOR").startswith(b"$"))

    def test_time(self):
        seconds, micros = raw_resp.elements(self.connect().call("TIME"))
        self.assertLess(abs(int(seconds) + int(micros) / 1e6 - time.time()), 5)

    def test_sleep_stops_one_worker_only(self):
        """Connections are spread over two workers, so of two new ones one is on the worker that sleeps."""
        clients = [self.connect() for _ in range(2)]
        for client in clients:
            client.call("PING")
        sleeper = threading.Thread(target=clients[0].call, args=("DEBUG", "SLEEP", "1"))
        sleeper.start()
        time.sleep(0.2)
        start = time.monotonic()
        for i in range(2000):
            self.assertEqual(clients[1].call("SET", "s%d" % i, "x" * 1000), b"+OK\r\n")
            if time.monotonic() - start > 0.6:
                break
        self.assertLess(time.monotonic() - start, 0.75)
        sleeper.join()


class Password(NodeCase):
    options = ("--requirepass", "secret")

    def test_nothing_without_the_password(self):
        client = self.connect()
        for command in (("PING",), ("GET", "a"), ("INFO",), ("CONFIG", "GET", "requirepass"), ("FLUSHALL",), ("CLIENT", "LIST")):
            self.assertEqual(client.call(*command), b"-NOAUTH Authentication required.\r\n")
        self.assertTrue(client.call("HELLO", "3").startswith(b"-NOAUTH HELLO must be called with"))
        wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        for command in (("AUTH", "wrong"), ("AUTH", "secre"), ("AUTH", "secrets"), ("AUTH", ""), ("AUTH", "secretsecret"),
                        ("AUTH", "other", "secret"), ("HELLO", "3", "AUTH", "default", "x")):
            self.assertEqual(client.call(*command), wrong)
        self.assertEqual(client.call("GET", "a"), b"-NOAUTH Authentication required.\r\n")

    def test_ways_to_give_it(self):
        for command in ("AUTH", "secret"), ("AUTH", "default", "secret"), ("HELLO", "2", "AUTH", "default", "secret"):
            client = self.connect()
            self.assertFalse(client.call(*command).startswith(b"-"))
            self.assertEqual(client.call("PING"), b"+PONG\r\n")
            client.call("RESET")
            self.assertEqual(client.call("PING"), b"-NOAUTH Authentication required.\r\n")

    def test_password_and_commands_in_one_pipeline(self):
        replies = self.connect().pipeline([("AUTH", "secret")] + [("MGET", *"abcdefghijklmnop")] + [("GET", "a")] * 3)
        self.assertEqual(replies, [b"+OK\r\n", b"*16\r\n" + b"$-1\r\n" * 16] + [b"$-1\r\n"] * 3)

    def test_strangers_cannot_send_much(self):
        for sent, error in ((b"*11\r\n", b"invalid multibulk length"), (b"*1\r\n$16385\r\n", b"invalid bulk length")):
            client = self.connect()
            client.socket.sendall(sent)
            self.assertEqual(client.reply(), b"-ERR Protocol error: " + error + b"\r\n")

    def test_password_can_be_changed(self):
        client = self.connect()
        client.call("AUTH", "secret")
        self.assertEqual(client.call("CONFIG", "SET", "requirepass", "other"), b"+OK\r\n")
        self.assertEqual(self.connect().call("AUTH", "other"), b"+OK\r\n")
        self.assertEqual(client.call("CONFIG", "SET", "requirepass", "secret"), b"+OK\r\n")
        self.assertNotIn("other", self.zslabd.log())


if __name__ == "__main__":
    unittest.main()
