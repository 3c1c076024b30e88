"""What the tests of connections and of the server share: a zslabd that is started for each class of tests."""

import os
import tempfile
import unittest

import raw_resp
import servers


def io_kind():
    """The event loop to test: uring, epoll or auto."""
    return os.environ.get("ZS_IO", "auto")


class NodeCase(unittest.TestCase):
    """A zslabd with the class' options, on TCP and on a Unix socket. One test may leave nothing to the next."""

    options = ()

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.zslabd = servers.Zslabd(cls.directory.name, servers.default_zslabd(), "--io", io_kind(), "--memory", "64m",
                                    "--workers", "2", *cls.options)
        cls.tcp = ("127.0.0.1", cls.zslabd.port)

    @classmethod
    def tearDownClass(cls):
        cls.zslabd.stop()
        cls.directory.cleanup()

    def connect(self, address=None):
        client = raw_resp.RawClient(address or self.tcp)
        self.addCleanup(client.close)
        return client

    def assert_closed(self, client):
        """The server ends the connection, perhaps after some bytes."""
        while True:
            try:
                if not client.socket.recv(65536):
                    return
            except ConnectionResetError:
                return

    def assert_serves(self):
        """Others are not disturbed."""
        self.assertEqual(self.connect().call("PING"), b"+PONG\r\n")

    def info(self, section, client=None):
        """The fields of a section of INFO."""
        client = client or self.connect()
        text = client.call("INFO", section).split(b"\r\n", 1)[1].decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
