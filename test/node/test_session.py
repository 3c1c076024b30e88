#!/usr/bin/python3
"""Sessions over shared memory, from the node's side: who gets the memory, what can be done with it, and how long a
lease is worth something."""

import array
import mmap
import os
import signal
import socket
import struct
import tempfile
import time
import unittest

import node_case
import raw_resp
import servers

LEASE_MS = 500
SESSIONS_MAX = 96


class Session:
    """A connection with a session: what the node said of it, and the memory."""

    def __init__(self, path):
        self.client = raw_resp.RawClient(path)
        self.client.socket.sendall(raw_resp.encode(["ZS.ATTACH", 1]))
        data, control, _, _ = self.client.socket.recvmsg(65536, socket.CMSG_SPACE(4))
        if data[:1] == b"-":
            self.client.close()
            raise PermissionError(data.decode())
        descriptors = array.array("i")
        for level, kind, payload in control:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            descriptors.frombytes(payload)
        (self.fd,) = descriptors
        self.client.pending = data
        header = self.client._line()
        assert header == b"*8\r\n", header
        fields = []
        for _ in range(8):
            reply = self.client.reply()
            fields.append(int(reply[1:-2]) if reply[:1] == b":" else reply.split(b"\r\n")[1].decode())
        (self.version, incarnation, self.size, self.index, offset, self.lease_ms, self.node_minus_boot_ms,
         self.tag) = fields
        self.incarnation = int(incarnation, 16)
        self.lease_offset = int(offset, 16)
        self.memory = mmap.mmap(self.fd, self.size, mmap.MAP_SHARED, mmap.PROT_READ)

    def word(self):
        return struct.unpack_from("<Q", self.memory, self.lease_offset)[0]

    def is_believed(self):
        word = self.word()
        return word & 0xffff == self.tag and time.clock_gettime_ns(time.CLOCK_BOOTTIME) < word & ~0xffff

    def close(self):
        self.client.close()
        self.memory.close()
        os.close(self.fd)


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class SharedMemory(node_case.NodeCase):
    options = ("--lease", "%dms" % LEASE_MS)

    def open(self):
        session = Session(self.zslabd.address)
        self.addCleanup(session.close)
        return session

    def test_the_reply_describes_the_memory(self):
        session = self.open()
        magic, version, partitions, incarnation = struct.unpack_from("<QIIQ", session.memory, 0)
        self.assertEqual(magic.to_bytes(8, "little"), b"ZNS-SLAB")
        self.assertEqual((version, session.version), (1, 1))
        self.assertGreaterEqual(partitions, 1)
        self.assertEqual(incarnation, session.incarnation)
        self.assertEqual(session.size, os.fstat(session.fd).st_size)
        self.assertEqual(session.lease_ms, LEASE_MS)
        node_ms = session.node_minus_boot_ms + time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000
        self.assertLess(abs(node_ms - time.time() * 1000), 60000)

    def test_objects_are_in_the_memory(self):
        session = self.open()
        value = b"only-in-this-test-%d" % time.monotonic_ns()
        self.connect().call("SET", "k", value)
        self.assertNotEqual(session.memory.find(value), -1)

    def test_the_memory_cannot_be_written_nor_resized(self):
        session = self.open()
        with self.assertRaises(PermissionError):
            mmap.mmap(session.fd, session.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        with self.assertRaises(PermissionError):
            os.pwrite(session.fd, b"x", 0)
        for size in 0, session.size * 2:
            with self.assertRaises(PermissionError):
                os.ftruncate(session.fd, size)
        again = os.open("/proc/self/fd/%d" % session.fd, os.O_RDWR)
        self.addCleanup(os.close, again)
        with self.assertRaises(PermissionError):
            mmap.mmap(again, session.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def test_leases_are_renewed_while_the_node_runs(self):
        session = self.open()
        first = session.word()
        self.assertTrue(session.is_believed())
        self.assertTrue(wait_until(lambda: session.word() & ~0xffff > first & ~0xffff))
        self.assertTrue(session.is_believed())

    def test_a_frozen_node_is_not_believed_after_the_lease(self):
        session = self.open()
        os.kill(self.zslabd.process.pid, signal.SIGSTOP)
        try:
            self.assertTrue(wait_until(lambda: not session.is_believed()))
            time.sleep(LEASE_MS / 1000)
            self.assertFalse(session.is_believed())
        finally:
            os.kill(self.zslabd.process.pid, signal.SIGCONT)
        self.assertTrue(wait_until(session.is_believed), "the lease is not renewed after the node goes on")

    def test_a_session_ends_with_its_connection(self):
        session, other = self.open(), self.open()
        session.client.socket.shutdown(socket.SHUT_RDWR)
        self.assertTrue(wait_until(lambda: session.word() & 0xffff != session.tag))
        self.assertFalse(session.is_believed())
        self.assertTrue(other.is_believed())

    def test_the_node_can_end_a_session(self):
        session = self.open()
        number = session.client.call("CLIENT", "ID")[1:-2].decode()
        self.connect().call("CLIENT", "KILL", "ID", number)
        self.assertTrue(wait_until(lambda: not session.is_believed(), 5))

    def test_a_word_serves_one_session_after_the_other(self):
        """Who had the word before does not believe the lease of who has it now."""
        first = self.open()
        first.client.close()
        self.assertTrue(wait_until(lambda: not first.is_believed()))
        second = self.open()
        self.assertTrue(second.is_believed())
        self.assertFalse(first.is_believed())

    def test_sessions_are_counted_and_bounded(self):
        sessions = [self.open() for _ in range(3)]
        self.assertGreaterEqual(int(self.info("clients")["zs_shared_memory_sessions"]), 3)
        with self.assertRaisesRegex(PermissionError, "all %d sessions" % SESSIONS_MAX):
            while len(sessions) <= SESSIONS_MAX:
                sessions.append(self.open())
        self.assertLessEqual(len(sessions), SESSIONS_MAX)
        self.assertTrue(all(session.is_believed() for session in sessions))

    def test_refusals(self):
        unix = self.connect(self.zslabd.address)
        self.assertIn(b"layout 1, the client asked for 7", unix.call("ZS.ATTACH", "7"))
        self.assertIn(b"layout 1", unix.call("ZS.ATTACH", "x" * 100))
        self.assertIn(b"Unix socket", self.connect().call("ZS.ATTACH", "1"))
        session = self.open()
        self.assertIn(b"has a session already", session.client.call("ZS.ATTACH", "1"))
        self.assertTrue(session.is_believed())
        unix.call("CONFIG", "SET", "shared-memory", "no")
        self.assertIn(b"NOPERM", unix.call("ZS.ATTACH", "1"))
        unix.call("CONFIG", "SET", "shared-memory", "yes")
        self.assert_serves()

    @unittest.skipIf(os.geteuid() != 0, "needs root, to become somebody else")
    def test_another_user_is_refused(self):
        os.chmod(self.directory.name, 0o755)
        os.chmod(self.zslabd.address, 0o777)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"no answer"
            try:
                os.setuid(65534)
                client = raw_resp.RawClient(self.zslabd.address)
                answer = client.call("ZS.ATTACH", "1")
            finally:
                os.write(writer, answer)
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        self.assertIn(b"-NOPERM", answer)
        self.assertIn(b"you are user 65534", answer)

    def test_touched_keys(self):
        client = self.connect()
        self.assertEqual(client.call("ZS.TOUCHED", "0123456789abcdef", "F" * 16), b":0\r\n")
        self.assertIn(b"argument 2 is not a hash", client.call("ZS.TOUCHED", "0" * 16, "12"))
        self.assertIn(b"argument 1 is not a hash", client.call("ZS.TOUCHED", "g" * 16))

    def test_a_password_comes_first(self):
        client = self.connect()
        client.call("CONFIG", "SET", "requirepass", "secret")
        try:
            with self.assertRaisesRegex(PermissionError, "NOAUTH"):
                self.open()
        finally:
            client.call("CONFIG", "SET", "requirepass", "")


class Restart(unittest.TestCase):
    def start(self, directory):
        return servers.Zslabd(directory, servers.default_zslabd(), "--io", node_case.io_kind(), "--memory", "16m",
                              "--lease", "3s")

    def test_a_new_node_waits_for_the_leases_of_a_killed_one(self):
        with tempfile.TemporaryDirectory() as directory:
            zslabd = self.start(directory)
            session = Session(zslabd.address)
            until = session.word() & ~0xffff
            zslabd.process.kill()
            zslabd.process.wait()
            os.unlink(zslabd.address)
            self.assertTrue(session.is_believed(), "the test is too slow to show anything")
            zslabd = self.start(directory)
            client = raw_resp.RawClient(zslabd.address)
            self.assertEqual(client.call("SET", "k", "new"), b"+OK\r\n")
            self.assertGreater(time.clock_gettime_ns(time.CLOCK_BOOTTIME), until)
            self.assertFalse(session.is_believed())
            session.close()
            client.close()
            zslabd.stop()

    def test_a_clean_stop_ends_sessions_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as directory:
            zslabd = self.start(directory)
            session = Session(zslabd.address)
            self.assertTrue(os.path.exists(zslabd.address + ".leases"))
            zslabd.stop()
            self.assertFalse(session.is_believed())
            self.assertFalse(os.path.exists(zslabd.address + ".leases"))
            session.close()

    def test_a_broken_record_is_ignored(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "zslabd.sock.leases"), "wb") as record:
                record.write(os.urandom(1000))
            zslabd = self.start(directory)
            session = Session(zslabd.address)
            self.assertTrue(session.is_believed())
            session.close()
            zslabd.stop()


if __name__ == "__main__":
    unittest.main()
