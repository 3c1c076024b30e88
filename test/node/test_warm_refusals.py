#!/usr/bin/python3
"""What a node refuses of a warm tier: each time it says what is wrong, and changes nothing."""

import hashlib
import os
import resource
import signal
import subprocess
import tempfile
import unittest

import servers


def fingerprint(folder):
    """Of all files below a folder: names, sizes, contents."""
    digest = hashlib.sha256()
    for path, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            with open(os.path.join(path, name), "rb") as file:
                digest.update(name.encode() + file.read())
    return digest.hexdigest()


def small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


class WarmRefusals(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.folder = os.path.join(self.directory, "warm")

    def arguments(self, warm, *more):
        return [servers.default_zslabd(), "--port", "0", "--unixsocket", os.path.join(self.directory, "socket"),
                "--memory", "16mb", "--warm", warm, *more]

    def make(self, *more):
        """A tier of 64 MB with nothing in it."""
        server = servers.Zslabd(self.directory, servers.default_zslabd(), "--memory", "16mb", "--warm",
                                self.folder + ":64mb", *more)
        server.stop()

    def assert_refused(self, wanted, warm, *more, untouched=None, prepare=None):
        before = fingerprint(untouched) if untouched else None
        result = subprocess.run(self.arguments(warm, *more), capture_output=True, text=True, timeout=30,
                                preexec_fn=prepare, check=False)
        said = result.stdout + result.stderr
        self.assertNotIn(result.returncode, (0, None), said)
        self.assertGreater(result.returncode, 0, said)
        self.assertIn(wanted, said)
        if untouched:
            self.assertEqual(fingerprint(untouched), before)

    def test_what_is_no_path_and_size(self):
        self.assert_refused("it has to be PATH:SIZE", self.folder)
        self.assert_refused("'warm'", self.folder + ":many")
        self.assert_refused("'warm'", self.folder + ":1kb")
        self.assertFalse(os.path.exists(self.folder))

    def test_folder_with_other_files(self):
        os.mkdir(self.folder)
        with open(os.path.join(self.folder, "letter"), "w", encoding="utf-8") as file:
            file.write("Dear Ada")
        self.assert_refused(self.folder, self.folder + ":64mb", untouched=self.folder)

    def test_tier_of_another_size(self):
        self.make()
        self.assert_refused(self.folder, self.folder + ":128mb", untouched=self.folder)

    def test_tier_in_use(self):
        server = servers.Zslabd(self.directory, servers.default_zslabd(), "--memory", "16mb", "--warm",
                                self.folder + ":64mb")
        self.addCleanup(server.stop)
        self.assert_refused("another process", self.folder + ":64mb")

    def test_journal_that_is_none(self):
        self.make()
        journal = os.path.join(self.folder, "journal")
        with open(journal, "r+b") as file:
            file.write(b"something else altogether")
        self.assert_refused("no journal", self.folder + ":64mb", untouched=self.folder)
        os.truncate(journal, 100)
        self.assert_refused("journal", self.folder + ":64mb", untouched=self.folder)
        self.make("--warm-format", "yes")

    def test_journal_of_another_tier(self):
        self.make()
        other = os.path.join(self.directory, "other")
        os.rename(self.folder, other)
        server = servers.Zslabd(self.directory, servers.default_zslabd(), "--memory", "16mb", "--warm",
                                self.folder + ":128mb")
        server.stop()
        os.replace(os.path.join(other, "journal"), os.path.join(self.folder, "journal"))
        self.assert_refused("belongs to another device", self.folder + ":128mb", untouched=self.folder)

    def test_groups_that_are_none(self):
        self.make()
        with open(os.path.join(self.folder, "groups"), "r+b") as file:
            file.write(b"something else altogether")
        self.assert_refused("groups", self.folder + ":64mb")

    def test_disk_without_room(self):
        self.assert_refused("room", self.folder + ":64mb", prepare=small_files)

    def test_device_that_is_not_zoned(self):
        self.assert_refused("NVMe", "/dev/null", "--warm-journal", self.directory)


if __name__ == "__main__":
    unittest.main()
