"""Tests of the rig: that scripts/vm runs commands in guests as it says, and that it can fail.

Nothing here is skipped: a machine where no guest boots fails all of it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
VM = os.path.join(ROOT, "scripts", "vm")
DEVICES = "test/rig/check-devices.sh"

# Far more than anything takes; what hangs ends here.
PATIENCE = 180


def run_vm(*arguments):
    """Runs scripts/vm to its end; returns its code, output and errors."""
    result = subprocess.run([VM, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
                            timeout=2 * PATIENCE)
    return result.returncode, result.stdout, result.stderr


def is_alive(pid):
    """Zombies are dead. The pid may be another's by now, but hardly within a test."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)


class Session:
    """A run in the background whose output is read line by line while it goes on."""

    def __init__(self, *arguments, programs=None):
        """Programs in the folder `programs` come before the system's."""
        self.runs = tempfile.TemporaryDirectory(prefix="rig.")
        self.environment = dict(os.environ, ZS_VM_RUNS=self.runs.name)
        if programs:
            self.environment["PATH"] = f"{programs}:{self.environment['PATH']}"
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([VM, "run", "--name", "test", *arguments], cwd=ROOT, env=self.environment,
                                        stdout=subprocess.PIPE, stderr=self.errors)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        self.runs.cleanup()

    def read_until(self, line):
        """Reads on until a line equals this one."""
        os.set_blocking(self.process.stdout.fileno(), False)
        wait_for(lambda: self.take(line), f"the line '{line}'; its errors so far:\n{self.error_text()}")

    def take(self, wanted):
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if newline:
                self.buffer = rest
                if line.decode() == wanted:
                    return True
            elif not self.fill():
                return False

    def fill(self):
        data = self.process.stdout.read()
        if data == b"":
            raise AssertionError(f"the run ended too early; its errors:\n{self.error_text()}")
        self.buffer += data or b""
        return bool(data)

    def error_text(self):
        return os.pread(self.errors.fileno(), 65536, 0).decode()

    def drop_output(self):
        """Forgets what has been printed up to now."""
        while self.fill():
            pass
        self.buffer = b""

    def control(self, action, guest="test"):
        subprocess.run([VM, "control", guest, action], env=self.environment, check=True, timeout=PATIENCE)

    def finish(self):
        """The exit code, once it has ended by itself."""
        os.set_blocking(self.process.stdout.fileno(), True)
        self.process.stdout.read()
        return self.process.wait(PATIENCE)

    def qemu(self):
        """The pid of the first guest's QEMU."""
        path = os.path.join(self.runs.name, "test", "1", "pid")
        wait_for(lambda: os.path.exists(path) and os.path.getsize(path), "QEMU to start")
        with open(path, encoding="utf-8") as file:
            return int(file.read())

    def left_behind(self):
        return os.listdir(self.runs.name)


class CommandTest(unittest.TestCase):
    def test_output_comes_while_it_runs_and_the_code_at_the_end(self):
        """The guest goes on only after its first line was seen here."""
        with tempfile.TemporaryDirectory(dir=ROOT, prefix="build/rig, test.") as folder:
            go = os.path.join(folder, "go")
            with Session("--writable", folder, "--", f"""
                    echo first
                    until [ -e '{go}' ]; do sleep 0.1; done
                    echo from the guest >'{folder}/made'
                    echo last >&2
                    touch README.md && rm CMakeLists.txt
                    sleep 1000 &
                    exit 7""") as session:
                session.read_until("first")
                with open(go, "w", encoding="utf-8"):
                    pass
                session.read_until("last")
                self.assertEqual(session.finish(), 7)
                self.assertEqual(session.left_behind(), [])
            with open(os.path.join(folder, "made"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "from the guest\n")
        self.assertTrue(os.path.exists(os.path.join(ROOT, "CMakeLists.txt")), "a guest removed a file of the host")


class DeviceTest(unittest.TestCase):
    def test_devices_work(self):
        code, output, errors = run_vm("run", "--", f"{DEVICES} rdma && {DEVICES} zones")
        self.assertEqual(code, 0, output + errors)
        self.assertIn("rdma works", output)
        self.assertIn("zones work", output)

    def test_missing_devices_fail_until_soft_roce_makes_one(self):
        """And a guest whose kernel dies in the end is not a success."""
        code, output, errors = run_vm("run", "--no-rdma", "--zns", "0", "--", f"""
            {DEVICES} zones; echo zones: $?
            {DEVICES} rdma; echo rdma: $?
            export ZS_RDMA_ADDRESS=10.77.0.1 ZS_RDMA_DEVICE=rxe_eth0
            {DEVICES} rdma; echo rdma pretended: $?
            scripts/soft-roce up --device eth0; echo up: $?
            {DEVICES} rdma; echo rdma again: $?
            scripts/soft-roce up --device eth0 && scripts/soft-roce down --device eth0; echo down: $?
            scripts/soft-roce
            scripts/soft-roce up --device eth1; echo other: $?
            sleep 0.5
            echo c >/proc/sysrq-trigger""")
        lines = output.splitlines()
        self.assertEqual(code, 125, output + errors)
        self.assertIn("without an exit status", errors)
        self.assertIn("sysrq triggered crash", errors)
        for line in ("zones: 1", "rdma: 1", "rdma pretended: 1", "up: 0", "rdma again: 0", "down: 0", "no RDMA device",
                     "other: 1", "failed: ZS_RDMA_ADDRESS is not set: there is no such device",
                     "failed: rxe_eth0 has no active port",
                     "soft-roce: eth0 has the RDMA device rxe_eth0 already",
                     "soft-roce: there is no network device 'eth1'; there are: eth0 lo"):
            self.assertIn(line, lines)


class ControlTest(unittest.TestCase):
    def test_freeze_and_reset(self):
        """A frozen guest is silent. After a reset it begins anew, but its zones keep their data."""
        with Session("--", """
                pointer() { nvme zns report-zones $ZS_ZNS_GENERIC --descs=1 | grep -c '^SLBA: 0 *WP: 0x1 '; }
                [ $ZS_BOOT = 1 ] || exit $((10 * ZS_BOOT + $(pointer)))
                head -c 4096 /dev/urandom >/tmp/data
                nvme zns zone-append $ZS_ZNS_GENERIC -n 1 --zslba=0 --data=/tmp/data --data-size=4096
                while :; do echo tick; sleep 0.1; done""") as session:
            session.read_until("tick")
            session.control("stop")
            session.drop_output()
            time.sleep(1)
            self.assertFalse(session.fill(), "a frozen guest went on")
            session.control("cont")
            session.read_until("tick")
            session.control("stop")
            session.control("reset")
            self.assertEqual(session.finish(), 21, session.error_text())


class GuestsTest(unittest.TestCase):
    def test_two_guests_reach_each_other_until_cut(self):
        """Over IP and RDMA. The code is the worst of the two."""
        with tempfile.TemporaryDirectory(dir=ROOT, prefix="build/rig.") as folder, \
                Session("--guests", "2", "--writable", folder, "--", f"""
                reached() {{ busybox ping -c 1 -W 1 $ZS_PEERS >/dev/null; }}
                if [ $ZS_GUEST = 2 ]; then
                    until reached; do sleep 0.2; done
                    echo reached; {DEVICES} serve; until [ -e {folder}/end ]; do sleep 0.2; done; exit 3
                fi
                until reached; do sleep 0.2; done; echo reached
                {DEVICES} rdma $ZS_PEERS || exit 9
                while reached; do sleep 0.2; done; echo lost
                until reached; do sleep 0.2; done; echo healed
                touch {folder}/end""") as session:
            session.read_until("1: rdma works")
            session.control("cut", "test/2")
            session.read_until("1: lost")
            session.control("heal", "test/2")
            session.read_until("1: healed")
            self.assertEqual(session.finish(), 3, session.error_text())


class EndTest(unittest.TestCase):
    def test_timeout(self):
        code, _, errors = run_vm("run", "--timeout", "1", "--", "sleep 1000")
        self.assertEqual(code, 124, errors)
        self.assertIn("did not end within 1 s", errors)

    def test_terminated(self):
        """Nothing is left of a run that is told to end."""
        with Session("--", "sleep 1000") as session:
            qemu = session.qemu()
            session.process.terminate()
            self.assertEqual(session.process.wait(PATIENCE), 128 + signal.SIGTERM)
            self.assertFalse(is_alive(qemu))
            self.assertEqual(session.left_behind(), [])

    def test_killed(self):
        """QEMU ends even when nobody can end it, and the name can be used again."""
        with Session("--", "sleep 1000") as session:
            qemu = session.qemu()
            session.process.kill()
            wait_for(lambda: not is_alive(qemu), "QEMU to end")
            result = subprocess.run([VM, "run", "--name", "test", "--timeout", "1", "--", "true"], check=False,
                                    env=session.environment, stderr=subprocess.DEVNULL)
            self.assertEqual(result.returncode, 124)
            self.assertEqual(session.left_behind(), [])

    def test_killed_before_qemu_was_told_to_die_with_it(self):
        with tempfile.TemporaryDirectory(prefix="rig.") as programs:
            go = os.path.join(programs, "go")
            slow = os.path.join(programs, "setpriv")
            with open(slow, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\n"
                           f"until [ -e '{go}' ]; do sleep 0.1; done\n"
                           f'exec {shutil.which("setpriv")} "$@"\n')
            os.chmod(slow, 0o755)
            with Session("--", "sleep 1000", programs=programs) as session:
                qemu = session.qemu()
                session.process.kill()
                session.process.wait()
                with open(go, "w", encoding="utf-8"):
                    pass
                wait_for(lambda: not is_alive(qemu), "QEMU to end")

    def test_name_in_use(self):
        with Session("--", "sleep 1000") as session:
            session.qemu()
            result = subprocess.run([VM, "run", "--name", "test", "--", "true"], check=False, env=session.environment,
                                    capture_output=True, text=True)
            self.assertEqual(result.returncode, 125)
            self.assertIn("'test' is going on", result.stderr)


class UsageTest(unittest.TestCase):
    def test_bad_arguments_say_what_is_right(self):
        for arguments, code, text in (
                (["run"], 125, "put the command behind --"),
                (["run", "--guests", "0", "--", "true"], 2, "whole number from 1 to 16"),
                (["run", "--zns", "5M", "--", "true"], 2, "multiple of 16M"),
                (["run", "--zns", "512", "--", "true"], 2, "multiple of 16M"),
                (["run", "--writable", "/nowhere", "--", "true"], 2, "not a folder"),
                (["run", "--name", "../x", "--", "true"], 2, "letters, digits"),
                (["control", "nobody", "stop"], 125, "no guest 'nobody' is running"),
                (["control", "nobody", "explode"], 2, "choose from 'stop'"),
                (["setup", "--", "true"], 2, "only 'run' takes a command")):
            with self.subTest(arguments=arguments):
                seen, _, errors = run_vm(*arguments)
                self.assertEqual(seen, code)
                self.assertIn(text, errors)

    def test_help_has_examples(self):
        code, output, _ = run_vm("--help")
        self.assertEqual(code, 0)
        self.assertTrue(re.search(r"scripts/vm run --guests 3", output))


if __name__ == "__main__":
    # Fetches the kernel outside of the tests' own time limits.
    subprocess.run([VM, "setup"], check=True, timeout=540)
    unittest.main(verbosity=2)
