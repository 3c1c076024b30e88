#!/usr/bin/python3
"""ZS.FENCE: after its answer nothing is done that came over the other connection."""

import threading
import time
import unittest

import node_case
import raw_resp


class Fence(node_case.NodeCase):
    def id_of(self, client):
        return int(client.call("CLIENT", "ID")[1:])

    def test_an_idle_connection_is_closed(self):
        for address in (self.tcp, self.zslabd.address):
            victim = self.connect(address)
            self.assertEqual(self.connect().call("ZS.FENCE", self.id_of(victim)), b"+OK\r\n")
            self.assert_closed(victim)

    def test_one_that_is_gone_is_no_error(self):
        client = self.connect()
        self.assertEqual(client.call("ZS.FENCE", 1), b"+OK\r\n")
        victim = self.connect()
        number = self.id_of(victim)
        victim.close()
        for _ in range(2):
            self.assertEqual(client.call("ZS.FENCE", number), b"+OK\r\n")

    def test_bad_arguments(self):
        client = self.connect()
        self.assertIn(b"this one", client.call("ZS.FENCE", self.id_of(client)))
        for bad in ("0", "-1", "x", "", "99999999999999999999"):
            self.assertIn(b"-ERR client-id should be greater than 0", client.call("ZS.FENCE", bad))
        self.assertIn(b"wrong number of arguments", client.call("ZS.FENCE"))
        self.assertEqual(client.call("PING"), b"+PONG\r\n")

    def test_ids_of_an_earlier_life_do_not_come_back(self):
        self.assertGreater(self.id_of(self.connect()), int(time.time() * 1000 - 3600 * 1000) << 10)
        self.assertLess(self.id_of(self.connect()), 1 << 53)

    def test_a_write_that_is_not_done_yet_is_never_done(self):
        """The victim's SET waits behind a command of its own, whichever worker that keeps busy."""
        waited = 0
        for turn in range(4):
            key = f"late{turn}"
            victim = self.connect()
            number = self.id_of(victim)
            client = self.connect()
            client.call("PING")
            victim.socket.sendall(raw_resp.encode(["DEBUG", "SLEEP", "0.4"]))
            time.sleep(0.1)
            victim.socket.sendall(raw_resp.encode(["SET", key, "old"]))
            began = time.monotonic()
            self.assertEqual(client.call("ZS.FENCE", number), b"+OK\r\n")
            waited += time.monotonic() - began > 0.2
            self.assertEqual(client.call("SET", key, "new"), b"+OK\r\n")
            self.assert_closed(victim)
            time.sleep(0.05)
            self.assertEqual(client.call("GET", key), b"$3\r\nnew\r\n")
        self.assertEqual(waited, 4)

    def test_commands_behind_a_fence_wait_for_it(self):
        victim = self.connect()
        number = self.id_of(victim)
        client = self.connect()
        victim.socket.sendall(raw_resp.encode(["DEBUG", "SLEEP", "0.3"]) + raw_resp.encode(["SET", "order", "old"]))
        time.sleep(0.1)
        client.socket.sendall(raw_resp.encode(["ZS.FENCE", number]) + raw_resp.encode(["SET", "order", "new"]) +
                              raw_resp.encode(["GET", "order"]))
        self.assertEqual(client.reply() + client.reply() + client.reply(), b"+OK\r\n+OK\r\n$3\r\nnew\r\n")
        self.assertEqual(self.connect().call("GET", "order"), b"$3\r\nnew\r\n")

    def test_two_that_fence_each_other(self):
        """Both end, or one of them; the node serves on."""
        for _ in range(20):
            pair = [self.connect(), self.connect()]
            ids = [self.id_of(client) for client in pair]
            threads = [threading.Thread(target=pair[i].socket.sendall, args=(raw_resp.encode(["ZS.FENCE", ids[1 - i]]),))
                       for i in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            ended = 0
            for client in pair:
                try:
                    self.assertEqual(client.reply(), b"+OK\r\n")
                except (ConnectionError, ConnectionResetError):
                    ended += 1
            self.assertGreaterEqual(ended, 1)
        self.assert_serves()


if __name__ == "__main__":
    unittest.main()
