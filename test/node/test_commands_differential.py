#!/usr/bin/python3
"""The same long random sequences of commands to redis-server and to zslabd: replies have to be the same bytes.

Exempt are remaining times, which zslabd may report up to 1 % early, and the order of KEYS and SCAN.

usage: test_commands_differential.py [--zslabd PROGRAM] [--commands N] [--seed N]
"""

import argparse
import random
import sys
import tempfile
import unittest

import raw_resp
import servers

BATCH = 50

KEYS = [b"key:%d" % i for i in range(24)] + [b"", b"\x00\xff\r\n", b"[a-b]*?\\", b"k" * 200, "schlüssel".encode()]
INTEGERS = [b"0", b"1", b"-1", b"7", b"42", b"1000", b"-12345", b"9223372036854775807", b"-9223372036854775808",
            b"9223372036854775800", b"-9223372036854775000"]
NOT_INTEGERS = [b"", b"+1", b" 1", b"1 ", b"01", b"-0", b"1.5", b"0x10", b"9223372036854775808",
                b"-9223372036854775809", b"99999999999999999999999", b"abc", b"1\x00"]
FLOATS = [b"0.1", b"-5.5", b"3.0e3", b"1e-17", b"1.23456789012345678", b"1e20", b"+2", b"0x1p3", b"-0.0", b"1e100",
          b".5", b"5."]
NOT_FLOATS = [b"inf", b"-inf", b"nan", b"1e5000", b"1e-5000", b"1.5x", b" 1.5", b"1,5", b"", b"1" * 5200]
WORDS = [b"", b"x", b"hello", b"hello world", b"\r\n", b"\x00\x01\xfe\xff", b"w" * 44, b"w" * 45, b"long " * 40,
         b"v" * 1500]
PATTERNS = [b"*", b"key:*", b"key:?", b"key:1?", b"key:[1-5]", b"key:[^1]*", b"*1*", b"\\*", b"\\[*", b"[k]*", b"",
            b"k*", b"**", b"*\xff*", b"[", b"key:[", b"*\\", b"?", b"[\x00]*"]

# Times that lie far apart, so that being 1 % early never changes which of two is later.
SECONDS = [1000, 5000, 25000, 125000]
BETWEEN = [2200, 11000, 55000]
BAD_TIMES = [b"0", b"-1", b"9223372036854775807", b"9223372036854775", b"-9223372036854775808", b"1.5", b"x", b""]

# Deadlines further ahead than this (some 30 million years) only have to be far ahead.
FAR_SECONDS = 10**15


class Sequence:
    """Draws commands. Each is (how to compare the reply, command)."""

    def __init__(self, seed, now):
        self.random = random.Random(seed)
        self.now = now
        self.makers = [getattr(self, name) for name in dir(self) if name.startswith("make_")]

    def pick(self, *choices):
        return self.random.choice(choices)

    def key(self):
        return self.random.choice(KEYS)

    def value(self):
        return self.random.choice(self.random.choice([INTEGERS, FLOATS, WORDS, NOT_INTEGERS]))

    def mostly(self, good, bad):
        return self.random.choice(bad if self.random.random() < 0.15 else good)

    def time_option(self):
        kind = self.pick(b"EX", b"PX", b"EXAT", b"PXAT")
        if self.random.random() < 0.1:
            return [kind, self.random.choice(BAD_TIMES)]
        seconds = self.random.choice(SECONDS)
        if kind in (b"EXAT", b"PXAT"):
            seconds = 1 if self.random.random() < 0.1 else seconds + self.now
        return [kind, seconds * 1000 if kind in (b"PX", b"PXAT") else seconds]

    def exact(self, *command):
        name = self.pick(command[0], command[0].lower(), command[0].capitalize())
        return [("exact", [name] + list(command[1:]))]

    def make_get(self):
        return self.exact(self.pick("GET", "GETDEL", "STRLEN", "TYPE", "GET", "GET"), self.key())

    def make_set(self):
        options = []
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
            options += self.pick([b"NX"], [b"xx"], [b"GET"], [b"KEEPTTL"], [b"PERSIST"], [b"junk"], self.time_option(),
                                 self.time_option())
        return self.exact("SET", self.key(), self.value(), *options)

    def make_set_plain(self):
        return self.exact("SET", self.key(), self.value())

    def make_set_and_encoding(self):
        key = self.key()
        return self.exact("SET", key, self.value()) + self.exact("OBJECT", "encoding", key)

    def make_setex(self):
        if self.random.random() < 0.5:
            return self.exact("SETEX", self.key(), self.mostly(SECONDS, BAD_TIMES), self.value())
        return self.exact("PSETEX", self.key(), self.mostly([1000 * n for n in SECONDS], BAD_TIMES), self.value())

    def make_setnx_getset(self):
        return self.exact(self.pick("SETNX", "GETSET"), self.key(), self.value())

    def make_getex(self):
        options = self.pick([], [b"PERSIST"], [b"persist", b"EX"], [b"NX"], self.time_option(), self.time_option(),
                            self.time_option() + [b"PERSIST"])
        return self.exact("GETEX", self.key(), *options)

    def make_mget(self):
        return self.exact("MGET", *[self.key() for _ in range(self.random.randrange(1, 80))])

    def make_mset(self):
        pairs = [part for _ in range(self.random.randrange(1, 9)) for part in (self.key(), self.value())]
        return self.exact("MSET", *(pairs[:-1] if self.random.random() < 0.1 else pairs))

    def make_append(self):
        return self.exact("APPEND", self.key(), self.random.choice(self.random.choice([INTEGERS, FLOATS, WORDS[:6]])))

    def make_setrange(self):
        offset = self.mostly([0, 0, 1, 2, 3, 5, 17, 100, 1400], [-1, b"x", b""])
        return self.exact("SETRANGE", self.key(), offset, self.random.choice(WORDS[:7]))

    def make_getrange(self):
        bounds = [0, 1, 2, 4, 10, 100, 5000, -1, -2, -3, -10, -100, 2**63 - 1, -2**63]
        return self.exact(self.pick("GETRANGE", "SUBSTR"), self.key(), self.mostly(bounds, NOT_INTEGERS),
                          self.mostly(bounds, NOT_INTEGERS))

    def make_increment(self):
        if self.random.random() < 0.5:
            return self.exact(self.pick("INCR", "DECR"), self.key())
        return self.exact(self.pick("INCRBY", "DECRBY"), self.key(), self.mostly(INTEGERS, NOT_INTEGERS))

    def make_increment_and_look(self):
        key = self.key()
        look = self.pick(["GET", key], ["STRLEN", key], ["GETRANGE", key, 0, -1], ["APPEND", key, b"5"],
                         ["GETSET", key, b"8"], ["MGET", key], ["SETRANGE", key, 1, b"9"], ["SET", key, b"1", b"GET"])
        return (self.exact("SET", key, self.random.choice(INTEGERS)) + self.exact("INCR", key) + self.exact(*look) +
                self.exact("INCR", key))

    def make_float(self):
        return self.exact("INCRBYFLOAT", self.key(), self.mostly(FLOATS + INTEGERS, NOT_FLOATS))

    def make_float_from_known(self):
        key = self.key()
        return (self.exact("SET", key, self.mostly(FLOATS + INTEGERS, NOT_FLOATS[:6])) +
                self.exact("INCRBYFLOAT", key, self.random.choice(FLOATS + INTEGERS)) + self.exact("GET", key))

    def make_delete(self):
        return self.exact(self.pick("DEL", "UNLINK"), *[self.key() for _ in range(self.random.randrange(1, 4))])

    def make_exists(self):
        return self.exact(self.pick("EXISTS", "TOUCH"), *[self.key() for _ in range(self.random.randrange(1, 6))])

    def expire(self, key, seconds, *options):
        name = self.pick("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT")
        if isinstance(seconds, int):
            if name.endswith("AT"):
                seconds += self.now
            if name.startswith("P"):
                seconds *= 1000
        return self.exact(name, key, seconds, *options)

    def make_expire(self):
        options = self.pick([], [], [b"NX"], [b"xx"], [b"junk"], [b"NX", b"XX"], [b"GT", b"LT"], [b"LT", b"nx"])
        return self.expire(self.key(), self.mostly(SECONDS, BAD_TIMES), *options)

    def make_expire_if_later_or_earlier(self):
        key = self.key()
        options = self.pick([b"GT"], [b"LT"], [b"gt", b"XX"], [b"lt", b"XX"])
        return (self.expire(key, self.random.choice(BETWEEN), *options) +
                self.pick(self.exact("PERSIST", key), self.expire(key, self.random.choice(SECONDS))))

    def make_expire_in_the_past(self):
        options = self.pick([], [b"GT"], [b"LT"], [b"XX"])
        return self.exact("PEXPIREAT", self.key(), self.pick(1, 0, -1, -2**63), *options)

    def make_persist(self):
        return self.exact("PERSIST", self.key())

    def make_time(self):
        name, how = self.pick(("TTL", "seconds"), ("PTTL", "milliseconds"), ("EXPIRETIME", "seconds at"),
                              ("PEXPIRETIME", "milliseconds at"))
        return [(how, [name, self.key()])]

    def make_keys(self):
        return [("set", ["KEYS", self.random.choice(PATTERNS)])]

    def make_scan_errors(self):
        return self.exact("SCAN", *self.pick([b"x"], [b" 1"], [b"1x"], [b"0", b"COUNT"], [b"0", b"COUNT", b"0"],
                                             [b"0", b"COUNT", b"x"], [b"0", b"MATCH"], [b"0", b"junk", b"1"],
                                             [b"0", b"count", b"-1", b"junk"], [b"99999999999999999999"]))

    def make_object(self):
        return self.exact("OBJECT", self.pick("ENCODING", "REFCOUNT", "IDLETIME", "FREQ"), b"never there")

    def make_wrong_number_of_arguments(self):
        return self.exact(*self.pick(["GET"], ["SET", "k"], ["GET", "k", "k"], ["MSET", "k"], ["APPEND", "k"], ["DEL"],
                                     ["EXPIRE", "k"], ["KEYS"], ["SCAN"], ["TTL", "k", "k"], ["GETRANGE", "k", "1"],
                                     ["OBJECT"], ["OBJECT", "ENCODING"], ["OBJECT", "junk", "k"], ["INCRBY", "k"]))

    def draw(self):
        return self.random.choice(self.makers)()


def same_time(how, ours, theirs, now):
    """Is our remaining time theirs, or at most 1 % (and the seconds that the two runs lie apart) earlier?"""
    ours, theirs = (int(reply[1:]) for reply in (ours, theirs))
    if ours < 0 or theirs < 0:
        return ours == theirs
    unit = 1000 if how.startswith("milliseconds") else 1
    if how.endswith("at"):
        ours, theirs = ours - now * unit, theirs - now * unit
    if theirs > FAR_SECONDS * unit:
        return ours > FAR_SECONDS * unit
    slack = 5 * unit
    return theirs * 0.99 - slack <= ours <= theirs + slack


def same(how, ours, theirs, now):
    if how == "exact" or ours[:1] == b"-" or theirs[:1] == b"-":
        return ours == theirs
    if how == "set":
        return sorted(raw_resp.elements(ours)) == sorted(raw_resp.elements(theirs)) and len(ours) == len(theirs)
    return same_time(how, ours, theirs, now)


def scan_all(client, *options):
    """All keys that a whole SCAN gives, and the set of them."""
    found, cursor = [], b"0"
    while True:
        reply = client.call("SCAN", cursor, *options)
        assert reply.startswith(b"*2\r\n$"), reply
        cursor, rest = reply.split(b"\r\n", 3)[2:]
        found += raw_resp.elements(rest)
        if cursor == b"0":
            return found


class Differential(unittest.TestCase):
    arguments = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.redis = servers.Redis(cls.directory.name)
        cls.zslabd = servers.Zslabd(cls.directory.name, cls.arguments.zslabd, "--memory", "64m")

    @classmethod
    def tearDownClass(cls):
        cls.zslabd.stop()
        cls.redis.stop()
        cls.directory.cleanup()

    def setUp(self):
        self.ours = raw_resp.RawClient(self.zslabd.address)
        self.theirs = raw_resp.RawClient(self.redis.address)
        for client in (self.ours, self.theirs):
            self.assertEqual(client.call("FLUSHALL"), b"+OK\r\n")

    def tearDown(self):
        self.ours.close()
        self.theirs.close()

    def speak(self, protocol):
        for client in (self.ours, self.theirs):
            self.assertIn(client.call("HELLO", protocol)[:1], b"*%")

    def redis_time(self):
        return int(raw_resp.elements(self.theirs.call("TIME"))[0])

    def compare_batch(self, steps, history):
        commands = [command for _, command in steps]
        theirs = self.theirs.pipeline(commands)
        ours = self.ours.pipeline(commands)
        now = self.redis_time()
        for (how, command), our, their in zip(steps, ours, theirs):
            history.append((command, our))
            if not same(how, our, their, now):
                before = [entry for entry in history[-400:] if set(entry[0][1:]) & set(command[1:])]
                self.fail("%r\nzslabd: %r\nredis:  %r\nbefore: %s" %
                          (command, our, their, "\n        ".join(map(repr, before[-12:]))))

    def compare_scans(self):
        for options in ([], [b"COUNT", 3], [b"MATCH", b"key:1*"], [b"TYPE", b"string", b"COUNT", 1000],
                        [b"TYPE", b"list"], [b"MATCH", b"*", b"TYPE", b"STRING"]):
            self.assertEqual(set(scan_all(self.ours, *options)), set(scan_all(self.theirs, *options)), options)

    def compare_random_key(self):
        reply = self.ours.call("RANDOMKEY")
        if self.theirs.call("RANDOMKEY")[:1] != b"$":
            self.assertEqual(reply, self.theirs.call("RANDOMKEY"))
        else:
            key = raw_resp.elements(b"*1\r\n" + reply)[0]
            self.assertEqual(self.theirs.call("EXISTS", key), b":1\r\n", key)

    def run_sequence(self, protocol, seed):
        self.speak(protocol)
        sequence = Sequence(seed, self.redis_time())
        history, done = [], 0
        while done < self.arguments.commands:
            steps = []
            while len(steps) < BATCH:
                steps += sequence.draw()
            self.compare_batch(steps, history)
            del history[:-4000]
            done += len(steps)
            if done // BATCH % 20 == 0:
                self.compare_scans()
                self.compare_random_key()

    def test_resp2(self):
        self.run_sequence(2, self.arguments.seed)

    def test_resp3(self):
        self.run_sequence(3, self.arguments.seed + 1)

    def test_values_written_in_one_dialect_read_in_the_other(self):
        for protocol in (2, 3, 2):
            self.speak(protocol)
            self.compare_batch([("exact", ["GET", b"none"]), ("exact", ["MGET", b"none", b"none"]),
                                ("exact", ["GETEX", b"none"]), ("exact", ["SET", b"none", b"1", b"XX"]),
                                ("exact", ["RANDOMKEY"]), ("exact", ["OBJECT", "ENCODING", b"none"])], [])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zslabd", default=servers.default_zslabd())
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    Differential.arguments, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0]] + rest)


if __name__ == "__main__":
    main()
