#!/usr/bin/python3
"""Debian's redis-cli, redis-benchmark, hiredis and python3-redis, used as they are."""

import os
import subprocess
import threading
import unittest

import redis

from node_case import NodeCase


class Tools(NodeCase):
    def run_tool(self, *command, text=None):
        result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def cli(self, *arguments, **more):
        return self.run_tool("redis-cli", "-p", str(self.zslabd.port), *arguments, **more)

    def test_redis_benchmark(self):
        for address in ("-p", str(self.zslabd.port)), ("-s", self.zslabd.address):
            for pipeline in "1", "32":
                out = self.run_tool("redis-benchmark", *address, "-n", "20000", "-P", pipeline, "-c", "20", "--csv", "-t",
                                    "ping_inline,ping_mbulk,set,get,incr,mset")
                rows = [line.split(",")[0].strip('"') for line in out.strip().split("\n")]
                self.assertEqual(rows, ["test", "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"])
                self.assertNotIn("WARNING", out)

    def test_redis_benchmark_without_keepalive(self):
        self.run_tool("redis-benchmark", "-p", str(self.zslabd.port), "-n", "5000", "-k", "0", "-t", "get", "-q")

    def test_redis_cli(self):
        self.assertEqual(self.cli("ping"), "PONG\n")
        self.assertEqual(self.cli("-3", "hello", "3").split("\n")[0], "server redis")
        self.assertEqual(self.cli("--no-raw", "config", "get", "save"), "1) \"save\"\n2) \"\"\n")
        self.assertIn("# Server", self.cli("info"))
        self.assertEqual(self.cli(text="set a 'b c'\nget a\n"), "OK\nb c\n")

    def test_redis_cli_pipe(self):
        text = "".join("SET pipe%d %d\r\n" % (i, i) for i in range(50000))
        out = self.cli("--pipe", text=text)
        self.assertIn("errors: 0, replies: 50000", out)
        self.assertEqual(self.cli("get", "pipe49999"), "49999\n")

    def test_redis_cli_bigkeys_and_memkeys(self):
        self.cli("set", "some", "x" * 1000)
        self.assertIn("Biggest string found", self.cli("--bigkeys"))
        self.assertIn("Biggest string found", self.cli("--memkeys"))

    def test_hiredis(self):
        program = os.environ.get("HIREDIS_CLIENT")
        self.assertTrue(program, "HIREDIS_CLIENT must name the program made from hiredis_client.c")
        self.run_tool(program, str(self.zslabd.port), self.zslabd.address)

    def test_python_redis(self):
        client = redis.Redis(port=self.zslabd.port)
        self.assertTrue(client.ping())
        self.assertEqual(client.info()["redis_mode"], "standalone")
        self.assertEqual(client.config_get("maxmemory"), {"maxmemory": str(64 << 20)})
        self.assertGreaterEqual(len(client.client_list()), 1)
        self.assertEqual(client.command_count(), len(client.command()))
        self.assertEqual(client.memory_usage("none"), None)
        client.slowlog_reset()
        self.assertLess(client.slowlog_len(), 2)
        self.assertTrue(client.client_setname("python"))
        self.assertEqual(client.client_getname(), "python")
        self.assertEqual(client.time()[0] > 1600000000, True)
        pipe = client.pipeline(transaction=False)
        for i in range(1000):
            pipe.set("py%d" % i, i).get("py%d" % i)
        self.assertEqual(pipe.execute()[1::2], [b"%d" % i for i in range(1000)])
        client.close()

    def test_many_threads_count_together(self):
        """INCR from many connections on both workers loses nothing."""
        def work():
            client = redis.Redis(port=self.zslabd.port)
            pipe = client.pipeline(transaction=False)
            for _ in range(1000):
                pipe.incr("shared")
            pipe.execute()
            client.close()

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.cli("get", "shared"), "16000\n")


if __name__ == "__main__":
    unittest.main()
