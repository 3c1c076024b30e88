"""The command line of scripts/vm."""

import argparse
import os
import re
import shlex
import signal
import sys

import accelerator
import control
import image
import network
import session
from guest import ZONE_SIZE
from rig import EXIT_RIG_FAILED, MEGABYTE, RigError

MAXIMUM_GUESTS = 16

EXAMPLES = """\
examples:
  scripts/vm setup                                     fetch the kernel (the other commands do it too)
  scripts/vm run -- uname -r                           one guest, one command
  scripts/vm run -- 'ibv_devinfo; nvme zns report-zones $ZS_ZNS_GENERIC'
  scripts/vm run --writable out -- build/bin/tests --report out/report.xml
  scripts/vm run --guests 3 -- 'echo "$ZS_GUEST at $ZS_RDMA_ADDRESS, others: $ZS_PEERS"'
  scripts/vm run --name a -- sleep 100 &  scripts/vm control a stop
  scripts/vm shell                                     look around; exit ends the guest
"""

COMMAND_HELP = """\
A COMMAND of one word is a line for bash, several words are a program and its arguments. It runs as root in the
current folder and sees the host's files; what it writes outside of --writable folders is lost at the end. In its
environment: ZS_RDMA_DEVICE, ZS_RDMA_ADDRESS (not with --no-rdma), ZS_ZNS_GENERIC, ZS_ZNS_BLOCK (not with --zns 0),
ZS_DISK (with --disk),
ZS_GUEST (its number, from 1), ZS_GUESTS, ZS_PEERS (the others' addresses) and ZS_BOOT (1, and more after resets).

The exit code is that of COMMAND, the largest one of several guests; 124 if time ran out, 125 if the rig failed.
"""


def main(arguments):
    # With these QEMU is stopped and the files are removed before we go.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    if "--" in arguments:
        split = arguments.index("--")
        arguments, command = arguments[:split], arguments[split + 1:]
    else:
        command = []
    parser = make_parser()
    options = parser.parse_args(arguments)
    if command and options.action is not do_run:
        parser.error("only 'run' takes a command behind --")
    options.command = command
    try:
        return options.action(options)
    except (RigError, OSError) as error:
        session.complain(error)
        return EXIT_RIG_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def make_parser():
    parser = argparse.ArgumentParser(
        prog="scripts/vm", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES,
        description="Boots virtual machines that have soft-RoCE and a zoned disk, and runs commands in them.")
    actions = parser.add_subparsers(required=True, metavar="setup|run|shell|control")
    setup = actions.add_parser("setup", help="fetch the kernel and build the initramfs, if that was not done yet")
    setup.set_defaults(action=do_setup)
    add_run(actions)
    add_shell(actions)
    add_control(actions)
    return parser


def add_run(actions):
    run = actions.add_parser("run", help="boot guests and run a command in each", epilog=COMMAND_HELP + "\n" + EXAMPLES,
                             usage="scripts/vm run [options] -- COMMAND...",
                             formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_argument("--guests", type=whole_number(1, MAXIMUM_GUESTS), default=1, metavar="N",
                     help="how many, on one bridge; each line of output begins with the guest's number (default: 1)")
    run.add_argument("--timeout", type=whole_number(1, 1 << 20), default=300, metavar="SECONDS",
                     help="end the run after this time, booting included (default: 300)")
    add_guest_options(run)
    run.set_defaults(action=do_run)


def add_shell(actions):
    shell = actions.add_parser("shell", help="boot a guest with a shell on this terminal")
    add_guest_options(shell)
    shell.set_defaults(action=do_shell, guests=1, timeout=None)


def add_guest_options(parser):
    parser.add_argument("--name", type=run_name, default=f"run{os.getpid()}", help="for 'control' (default: runPID)")
    parser.add_argument("--memory", type=whole_number(256, 1 << 20), default=1024, metavar="MB",
                        help="of each guest (default: 1024)")
    parser.add_argument("--cpus", type=whole_number(1, 64), metavar="N",
                        help="of each guest (default: 2 if there is one guest, else 1)")
    parser.add_argument("--zns", type=disk_size, default=256 * MEGABYTE, metavar="SIZE",
                        help="of the zoned disk, such as 512M or 2G; 0 for none (default: 256M)")
    parser.add_argument("--zasl", type=whole_number(0, 15), default=0, metavar="N",
                        help="the zoned disk's largest append is 4 KB times 2^N; 0: as large as any transfer (default)")
    parser.add_argument("--disk", type=disk_size, default=0, metavar="SIZE",
                        help="of an ordinary disk, which keeps its data over a reset; 0 for none (default)")
    parser.add_argument("--no-rdma", dest="rdma", action="store_false", help="without a soft-RoCE device")
    parser.add_argument("--mtu", type=whole_number(576, 9000), default=1500, metavar="BYTES",
                        help="of the network; soft-RoCE packs 1024 bytes into 1500, 4096 into 9000 (default: 1500)")
    parser.add_argument("--writable", type=directory, action="append", default=[], metavar="DIR",
                        help="a folder of the host that guests may write to, under the same path; may be repeated")


def add_control(actions):
    parser = actions.add_parser(
        "control", help="do something to a running guest", formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="actions:\n" + "".join(f"  {name:7}{text}\n" for name, text in control.ACTIONS.items()))
    parser.add_argument("name", metavar="NAME[/NUMBER]",
                        help="the --name of the run, and which guest of it (default: 1)")
    parser.add_argument("what", metavar="ACTION", choices=control.ACTIONS, help=", ".join(control.ACTIONS))
    parser.set_defaults(action=do_control)


def do_setup(options):
    del options
    prepare()
    print(f"vm: ready, with Linux {image.kernel_version()} and {choose_accelerator()}")
    return 0


def do_run(options):
    if not options.command:
        raise RigError("nothing to run: put the command behind --, as in 'scripts/vm run -- uname -r'")
    words = options.command
    return start(options, words[0] if len(words) == 1 else shlex.join(words))


def do_shell(options):
    if not sys.stdin.isatty():
        raise RigError("a shell needs a terminal; use 'scripts/vm run -- COMMAND' without one")
    return start(options, "", shell=True)


def do_control(options):
    control.control(options.name, options.what)
    return 0


def announce(text):
    """What takes a while, or why something is as it is."""
    print(f"vm: {text}", file=sys.stderr, flush=True)


def prepare():
    image.prepare(announce)


def choose_accelerator():
    """Which of the two serves here; the first time it takes a boot to find out."""
    return accelerator.choose(boots_with_kvm)


def boots_with_kvm(seconds):
    announce("trying whether guests run under KVM")
    code = session.run(session.Settings(name=f"probe{os.getpid()}", command="true", directory="/", accelerator="kvm",
                                        timeout=seconds, rdma=False))
    announce("they do" if code == 0 else "they do not (see above); they will be emulated")
    return code == 0


def start(options, command, shell=False):
    prepare()
    chosen = choose_accelerator()
    if options.guests > 1:
        network.enter()
    return session.run(session.Settings(
        name=options.name, command=command, directory=os.getcwd(), accelerator=chosen, guests=options.guests,
        memory=options.memory, cpus=options.cpus or (2 if options.guests == 1 else 1), mtu=options.mtu,
        zns=options.zns, zasl=options.zasl, disk=options.disk, rdma=options.rdma, timeout=options.timeout,
        writable=tuple(options.writable), shell=shell))


def whole_number(lowest, highest):
    def parse(text):
        if not re.fullmatch(r"[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {lowest} to {highest}")
        return int(text)
    return parse


def disk_size(text):
    match = re.fullmatch(r"([0-9]{1,6})([MG]?)", text)
    if match and (int(match[1]) == 0 or match[2]):
        size = int(match[1]) * {"": 0, "M": MEGABYTE, "G": 1024 * MEGABYTE}[match[2]]
        if size % ZONE_SIZE == 0:
            return size
    zone = ZONE_SIZE // MEGABYTE
    raise argparse.ArgumentTypeError(f"'{text}' is not 0 nor a multiple of {zone}M, such as 512M or 2G")


def run_name(text):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not made of 1 to 31 letters, digits, dots and dashes")
    return text


def directory(text):
    if not os.path.isdir(text) or "\n" in text:
        raise argparse.ArgumentTypeError(f"'{text}' is not a folder")
    return os.path.realpath(text)
