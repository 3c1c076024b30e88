#!/usr/bin/python3
"""Connections, whatever their clients do. The event loop to test is taken from ZS_IO."""

import os
import re
import resource
import signal
import socket
import struct
import time
import unittest

from node_case import NodeCase, io_kind
from raw_resp import encode

PIPELINE = [("SET", "k", "value"), ("GET", "k"), ("ECHO", b"\r\n$3\r\n"), ("INCR", "n"), ("MGET", "k", "none"), ("GET", "none"),
            ("DEL", "n", "k")]
REPLIES = b"+OK\r\n$5\r\nvalue\r\n$6\r\n\r\n$3\r\n\r\n:1\r\n*2\r\n$5\r\nvalue\r\n$-1\r\n$-1\r\n:2\r\n"


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Requests(NodeCase):
    def test_loop_is_the_one_asked_for(self):
        names = {"uring": "io_uring", "epoll": "epoll"}
        self.assertEqual(self.info("server")["multiplexing_api"], names.get(io_kind(), "io_uring"))

    def test_both_transports(self):
        for address in self.tcp, self.zslabd.address:
            client = self.connect(address)
            self.assertEqual(b"".join(client.pipeline(PIPELINE)), REPLIES)

    def test_pipeline_split_at_every_byte(self):
        sent = b"".join(encode(command) for command in PIPELINE)
        client = self.connect()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(sent)):
            client.socket.sendall(sent[:cut])
            if cut % 4 == 0:
                time.sleep(0.001)
            client.socket.sendall(sent[cut:])
            self.assertEqual(b"".join(client.reply() for _ in PIPELINE), REPLIES)

    def test_one_byte_at_a_time(self):
        client = self.connect(self.zslabd.address)
        for byte in b"".join(encode(command) for command in PIPELINE):
            client.socket.sendall(bytes([byte]))
        self.assertEqual(b"".join(client.reply() for _ in PIPELINE), REPLIES)

    def test_inline_commands(self):
        client = self.connect()
        client.socket.sendall(b"\r\nPING\r\n  set  k 'a b'\nget k\r\n\r\nget \"\\x6b\"\r\n")
        self.assertEqual([client.reply() for _ in range(4)],
                         [b"+PONG\r\n", b"+OK\r\n", b"$3\r\na b\r\n", b"$3\r\na b\r\n"])

    def test_long_runs_of_sets_keep_their_order(self):
        client = self.connect()
        big = "x" * 5000
        commands = [("SET", "s%d" % (i % 30), big if i % 23 == 7 else "v%d" % i) for i in range(200)]
        replies = client.pipeline(commands)
        for command, reply in zip(commands, replies):
            expected = b"-ERR object of" if command[2] == big else b"+OK"
            self.assertTrue(reply.startswith(expected), (command, reply))
        last = {key: value for _, key, value in commands if value != big}
        self.assertEqual(client.pipeline([("GET", key) for key in last]),
                         [b"$%d\r\n%s\r\n" % (len(value), value.encode()) for value in last.values()])

    def test_long_runs_of_gets_keep_their_order(self):
        client = self.connect()
        client.pipeline([("SET", "g%d" % i, "v%d" % i) for i in range(1000)])
        commands = []
        for i in range(1000):
            commands += [("GET", "g%d" % i)] * (i % 3 + 1) + ([("GET", "absent")] if i % 5 == 0 else [])
            commands += [("ECHO", "e%d" % i)] if i % 7 == 0 else []
            commands += [("GET",)] if i % 50 == 0 else []
        for command, reply in zip(commands, client.pipeline(commands)):
            if len(command) == 1:
                self.assertEqual(reply, b"-ERR wrong number of arguments for 'get' command\r\n")
            elif command[1] == "absent":
                self.assertEqual(reply, b"$-1\r\n")
            else:
                value = command[1].replace("g", "v")
                self.assertEqual(reply, b"$%d\r\n%s\r\n" % (len(value), value.encode()))

    def test_command_of_many_arguments(self):
        client = self.connect()
        keys = ["many%d" % i for i in range(50000)]
        self.assertEqual(client.call("MSET", *[part for key in keys for part in (key, "v")]), b"+OK\r\n")
        self.assertEqual(client.call("MGET", *keys), b"*50000\r\n" + b"$1\r\nv\r\n" * 50000)
        self.assertEqual(client.call("DEL", *keys), b":50000\r\n")

    def test_oversized_objects_are_refused_and_the_connection_goes_on(self):
        client = self.connect()
        for size in 4096, 70000, 512 * 1024:
            reply = client.call("SET", "k", b"x" * size)
            self.assertTrue(reply.startswith(b"-ERR"), reply)
            self.assertIn(b"4032", reply)
            self.assertIn(b"%d" % (size + 1), reply)
            self.assertTrue(client.call("SET", b"k" * size, "v").startswith(b"-ERR"))
        self.assertEqual(client.call("PING"), b"+PONG\r\n")

    def test_broken_requests_get_redis_errors_and_are_closed(self):
        for sent, error in ((b"*a\r\n", b"invalid multibulk length"), (b"*1048577\r\n", b"invalid multibulk length"),
                            (b"*1\r\nPING\r\n", b"expected '$', got 'P'"), (b"*1\r\n$-1\r\n", b"invalid bulk length"),
                            (b"*1\r\n$524289\r\n", b"invalid bulk length"), (b"*1\r\n$99999999999\r\n", b"invalid bulk length"),
                            (b"set a \"b\r\n", b"unbalanced quotes in request"), (b"x" * 70000, b"too big inline request")):
            client = self.connect()
            client.socket.sendall(encode(("PING",)) + sent)
            self.assertEqual(client.reply(), b"+PONG\r\n")
            self.assertEqual(client.reply(), b"-ERR Protocol error: " + error + b"\r\n")
            self.assert_closed(client)
        self.assert_serves()

    def test_error_arrives_although_the_client_still_sends(self):
        client = self.connect()
        client.socket.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n")
        for _ in range(20):
            client.socket.sendall(b"x" * 100000)
        self.assertEqual(client.reply(), b"-ERR Protocol error: invalid bulk length\r\n")

    def test_random_bytes_disturb_nobody(self):
        watcher = self.connect()
        for _ in range(300):
            client = self.connect()
            client.socket.sendall(os.urandom(200) + b"\r\n*2\r\n" + os.urandom(100))
            client.close()
            self.assertEqual(watcher.call("PING"), b"+PONG\r\n")

    def test_half_sent_commands(self):
        halves = [self.connect() for _ in range(50)]
        for i, client in enumerate(halves):
            client.socket.sendall(encode(("SET", "half%d" % i, "x" * 3000))[:-1 - i])
        self.assert_serves()
        for i, client in enumerate(halves):
            client.socket.sendall(encode(("SET", "half%d" % i, "x" * 3000))[-1 - i:])
            self.assertEqual(client.reply(), b"+OK\r\n")

    def test_half_sent_command_of_a_client_that_is_gone(self):
        for reset in False, True:
            client = self.connect()
            client.socket.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\ngone\r\n$100\r\nabc")
            if reset:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        self.assertEqual(self.connect().call("EXISTS", "gone"), b":0\r\n")

    def test_peer_that_shuts_its_side_gets_its_replies(self):
        for address in self.tcp, self.zslabd.address:
            client = self.connect(address)
            client.socket.sendall(encode(("PING",)) * 1000)
            client.socket.shutdown(socket.SHUT_WR)
            self.assertEqual([client.reply() for _ in range(1000)], [b"+PONG\r\n"] * 1000)
            self.assertEqual(client.socket.recv(1), b"")

    def test_http_is_refused(self):
        for line in b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n":
            client = self.connect()
            client.socket.sendall(line + b"\r\nSET http 1\r\n")
            self.assert_closed(client)
            self.assertEqual(self.connect().call("EXISTS", "http"), b":0\r\n")

    def test_quit_answers_and_closes(self):
        client = self.connect()
        client.socket.sendall(encode(("PING",)) + encode(("QUIT",)) + encode(("SET", "after", "quit")))
        self.assertEqual(client.reply() + client.reply(), b"+PONG\r\n+OK\r\n")
        self.assert_closed(client)
        self.assertEqual(self.connect().call("EXISTS", "after"), b":0\r\n")

    def test_connections_come_and_go(self):
        watcher = self.connect()
        for _ in range(500):
            self.connect().call("PING")
        for round_ in range(20):
            clients = [self.connect() for _ in range(100)]
            for client in clients:
                client.socket.sendall(encode(("GET", "round%d" % round_)) * 10)
            for client in clients:
                client.close()
        self.assertTrue(wait_until(lambda: int(self.info("clients", watcher)["connected_clients"]) == 501))


class Output(NodeCase):
    options = ("--client-output-limit", "1mb", "--client-output-pause", "64kb")

    def test_client_that_never_reads_is_held_back(self):
        """It is not read from any more, so what it can take up is bounded, and it gets all when it reads."""
        writer = self.connect()
        writer.call("SET", "big", b"x" * 4000)
        clients = [self.connect() for _ in range(8)]
        request = encode(("GET", "big"))
        counts = []
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.socket.setblocking(False)
            sent = 0
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline and sent < 40 << 20:
                try:
                    sent += client.socket.send(request * 1000)
                except BlockingIOError:
                    time.sleep(0.01)
            counts.append(sent // len(request))
        self.assert_serves()
        held = re.findall(r" tot-mem=(\d+) ", writer.call("CLIENT", "LIST").decode())
        self.assertLess(sum(int(size) for size in held), 24 << 20)
        for client, count in zip(clients, counts):
            client.socket.settimeout(30)
            expected = b"$4000\r\n" + b"x" * 4000 + b"\r\n"
            for _ in range(min(count, 500)):
                self.assertEqual(client.reply(), expected)

    def test_reply_beyond_the_limit_closes_the_connection(self):
        client = self.connect()
        for i in range(400):
            client.call("SET", "large%d" % i, b"x" * 4000)
        self.assertEqual(len(client.call("MGET", *["large%d" % i for i in range(200)])), 6 + 200 * 4009)
        client.socket.sendall(encode(["MGET"] + ["large%d" % i for i in range(400)]))
        self.assert_closed(client)
        self.assert_serves()
        self.assertGreaterEqual(int(self.info("stats")["client_output_buffer_limit_disconnections"]), 1)


class Timeout(NodeCase):
    options = ("--timeout", "1")

    def test_idle_connections_are_closed_and_busy_ones_are_not(self):
        idle, busy, half = self.connect(), self.connect(), self.connect()
        idle.call("PING")
        half.socket.sendall(b"*2\r\n$3\r\nGET")
        start = time.monotonic()
        while time.monotonic() - start < 3.5:
            self.assertEqual(busy.call("PING"), b"+PONG\r\n")
            time.sleep(0.2)
        self.assert_closed(idle)
        self.assert_closed(half)
        self.assertEqual(busy.call("PING"), b"+PONG\r\n")


class MaxClients(NodeCase):
    options = ("--maxclients", "10")

    def test_one_too_many_is_told_so(self):
        clients = [self.connect() for _ in range(9)]
        for client in clients:
            client.call("PING")
        extra = []
        while len(extra) < 5:
            client = self.connect()
            try:
                client.socket.sendall(encode(("PING",)))
                reply = client.reply()
            except (ConnectionError, BrokenPipeError):
                reply = b""
            extra.append(reply)
        self.assertIn(b"-ERR max number of clients reached\r\n", extra)
        self.assertEqual(clients[0].call("PING"), b"+PONG\r\n")
        self.assertEqual(clients[0].call("CONFIG", "SET", "maxclients", "100"), b"+OK\r\n")
        self.assert_serves()
        self.assertGreaterEqual(int(self.info("stats")["rejected_connections"]), 1)


class ManyConnections(NodeCase):
    options = ("--maxclients", "11000")
    count = 10000

    def test_ten_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < self.count + 500:
            self.skipTest("this process may open %d files only" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, self.count + 500), hard))
        watcher = self.connect()
        before = int(self.info("memory", watcher)["used_memory_rss"])
        clients = [socket.socket() for _ in range(self.count)]
        try:
            for client in clients:
                client.connect(self.tcp)
            self.assertTrue(wait_until(lambda: int(self.info("clients", watcher)["connected_clients"]) > self.count, 30))
            after = int(self.info("memory", watcher)["used_memory_rss"])
            if not os.environ.get("ZS_SANITIZE"):  # sanitizers shadow memory
                self.assertLess((after - before) / self.count, 1024)
            cpu = self.info("cpu", watcher)
            time.sleep(1)
            used = self.info("cpu", watcher)
            spent = sum(float(used[name]) - float(cpu[name]) for name in used)
            self.assertLess(spent, 0.1, "idle connections cost CPU time")
            for client in clients[::100]:
                client.sendall(encode(("PING",)))
                self.assertEqual(client.recv(100), b"+PONG\r\n")
        finally:
            for client in clients:
                client.close()
        self.assertTrue(wait_until(lambda: int(self.info("clients", watcher)["connected_clients"]) < 100, 30))


class Stop(NodeCase):
    def test_what_is_in_flight_is_answered(self):
        clients = [self.connect(self.tcp if i % 2 else self.zslabd.address) for i in range(20)]
        for i, client in enumerate(clients):
            client.call("PING")
            client.socket.sendall(b"".join(encode(("INCR", "stop%d" % i)) for _ in range(100)))
        os.kill(self.zslabd.process.pid, signal.SIGTERM)
        for client in clients:
            self.assertEqual([client.reply() for _ in range(100)], [b":%d\r\n" % n for n in range(1, 101)])
            self.assert_closed(client)
        self.assertEqual(self.zslabd.process.wait(10), 0)
        self.assertIn("msg=stopped", self.zslabd.log())
        self.assertFalse(os.path.exists(self.zslabd.address))


if __name__ == "__main__":
    unittest.main()
