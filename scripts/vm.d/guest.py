"""One guest: its files, its QEMU process, what it left behind."""

import os
import shlex
import shutil
import signal
import subprocess

import image
from rig import MEGABYTE, PARTS, RigError, read_text, write_text

# Without erms and fsrm the guest's kernel copies words, not bytes: an aligned word is then never seen half written by
# an RDMA READ, as on real hardware. (QEMU's plain emulation executes "rep movsb" byte by byte.)
PROCESSOR = {"tcg": "max,erms=off,fsrm=off", "kvm": "host,erms=off,fsrm=off"}
ACCELERATOR = {"tcg": "tcg,thread=multi", "kvm": "kvm"}
# Emulated processors share one TSC, but the kernel distrusts it and reads the emulated HPET, at ten times the cost.
CLOCK = {"tcg": "tsc=reliable", "kvm": ""}

# A capacity below the size, and limits that a test reaches soon: what real devices have and what is easily forgotten.
ZONE_SIZE = 16 * MEGABYTE
ZONE_CAPACITY = 12 * MEGABYTE
ZONES_OPEN = 6
ZONES_ACTIVE = 8
BLOCK_SIZE = 4096


def address(number):
    """The IPv4 address of a guest, which is its RDMA address too."""
    return f"10.77.0.{number}"


def tap_device(number):
    """The network device on the host's side."""
    return f"tap{number}"


class Guest:
    """Guest `number` (from 1) of a run, with its files in `directory`."""

    def __init__(self, number, directory, settings):
        self.number = number
        self.directory = directory
        self.settings = settings
        self.process = None

    def path(self, name):
        return os.path.join(self.directory, name)

    def shared(self, name):
        """A file that the guest sees in /run/rig."""
        return os.path.join(self.directory, "rig", name)

    def start(self):
        os.makedirs(self.path("rig"))
        self.write_settings()
        if self.settings.zns:
            self.make_disk("zns", self.settings.zns, "a zoned disk")
        if self.settings.disk:
            self.make_disk("disk", self.settings.disk, "a disk")
        arguments = self.qemu_arguments()
        terminal = self.settings.shell
        self.process = subprocess.Popen(
            [*tether(), *arguments], env=dict(os.environ, PATH=image.search_path()),
            stdin=None if terminal else subprocess.DEVNULL, stdout=None if terminal else subprocess.PIPE,
            start_new_session=not terminal)
        write_text(self.path("pid"), f"{self.process.pid}\n")

    def stop(self):
        """Ends QEMU if it still runs. The guest may be frozen, so it is not asked."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def status(self):
        """The exit status of the command, None if the guest ended without one."""
        text = read_text(self.shared("status"))
        return int(text) if text else None

    def console_tail(self):
        """The last that the guest's kernel or its init said: enough for the reason above a panic's long trace."""
        lines = (read_text(self.path("console")) or "").splitlines()
        return "\n".join(lines[-100:]) or "(nothing on its console)"

    def write_settings(self):
        settings = self.settings
        numbers = range(1, settings.guests + 1)
        size = shutil.get_terminal_size()
        values = {
            "ZS_GUEST": self.number,
            "ZS_GUESTS": settings.guests,
            "ZS_PEERS": " ".join(address(number) for number in numbers if number != self.number),
            "RIG_ADDRESS": address(self.number),
            "RIG_MTU": settings.mtu,
            "RIG_RDMA": "yes" if settings.rdma else "no",
            "RIG_ZNS": "yes" if settings.zns else "no",
            "RIG_DISK": "yes" if settings.disk else "no",
            "RIG_DIRECTORY": settings.directory,
            "RIG_MODULES": image.modules_directory(),
            "RIG_SHELL": "yes" if settings.shell else "no",
            "RIG_TERM": os.environ.get("TERM", "dumb") if settings.shell else "dumb",
            "RIG_ROWS": size.lines,
            "RIG_COLUMNS": size.columns,
        }
        write_text(self.shared("settings"), "".join(f"{name}={shlex.quote(str(value))}\n"
                                                    for name, value in values.items()))
        write_text(self.shared("writable"), "".join(f"{folder}\n" for folder in settings.writable))
        write_text(self.shared("command"), settings.command + "\n")
        shutil.copy(os.path.join(PARTS, "guest-init"), self.shared("guest-init"))

    def make_disk(self, name, size, what):
        free = shutil.disk_usage(self.directory).free
        if free < size:
            raise RigError(f"{what} may grow to {size // MEGABYTE} MB in {self.directory}, "
                           f"only {free // MEGABYTE} MB are free there; make it smaller with --{name}")
        with open(self.path(name), "wb") as file:
            file.truncate(size)

    def qemu_arguments(self):
        settings = self.settings
        arguments = [
            "qemu-system-x86_64", "-accel", ACCELERATOR[settings.accelerator], "-cpu", PROCESSOR[settings.accelerator],
            "-m", f"{settings.memory}M", "-smp", str(settings.cpus), "-nodefaults", "-display", "none",
            # A kernel that panics reboots, which ends QEMU: only `control reset` may start a guest again.
            "-no-reboot", "-name", f"guest{self.number}",
            "-kernel", image.KERNEL_IMAGE, "-initrd", image.INITRAMFS,
            "-append", f"console=ttyS0 quiet panic=-1 mitigations=off {CLOCK[settings.accelerator]}",
            "-serial", f"file:{quote(self.path('console'))}",
            "-qmp", f"unix:{quote(self.path('qmp'))},server=on,wait=off",
        ]
        arguments += self.output_arguments()
        arguments += share("host", "/", "readonly=on,multidevs=remap")
        arguments += share("rig", self.path("rig"))
        for number, folder in enumerate(settings.writable, start=1):
            arguments += share(f"writable{number}", folder, "multidevs=remap")
        if settings.guests > 1:
            arguments += self.network_arguments()
        if settings.zns:
            arguments += self.disk_arguments()
        if settings.disk:
            arguments += ["-drive", f"file={quote(self.path('disk'))},if=virtio,format=raw,cache=unsafe"]
        return arguments

    def output_arguments(self):
        """A terminal for a shell, else a pipe. As "stdio" the pipe would count as closed, there being no input."""
        if self.settings.shell:
            return ["-device", "virtio-serial-pci", "-chardev", "stdio,id=output,signal=off",
                    "-device", "virtconsole,chardev=output"]
        return ["-device", "virtio-serial-pci", "-chardev", "file,id=output,path=/dev/stdout",
                "-device", "virtserialport,chardev=output"]

    def network_arguments(self):
        return ["-netdev", f"tap,id=bridge,ifname={tap_device(self.number)},script=no,downscript=no",
                "-device", f"virtio-net-pci,netdev=bridge,mac=52:54:00:77:00:{self.number:02x},romfile=,"
                           f"host_mtu={self.settings.mtu}"]

    def disk_arguments(self):
        return ["-device", f"nvme,id=controller,serial=zns{self.number},zoned.zasl={self.settings.zasl}",
                # Nothing survives the run anyway, so the host need not write it out.
                "-drive", f"file={quote(self.path('zns'))},if=none,id=zns,format=raw,cache=unsafe",
                "-device", f"nvme-ns,drive=zns,bus=controller,zoned=true,zoned.zone_size={ZONE_SIZE},"
                           f"zoned.zone_capacity={ZONE_CAPACITY},zoned.max_open={ZONES_OPEN},"
                           f"zoned.max_active={ZONES_ACTIVE},"
                           f"logical_block_size={BLOCK_SIZE},physical_block_size={BLOCK_SIZE}"]


def tether():
    """What starts QEMU so that it dies with this program, however that ends. The signal comes only to who has asked
    for it already, so what comes after asking looks whether this program still is the parent."""
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]


def quote(path):
    """QEMU's own options are separated by commas; a doubled one stands for itself."""
    return path.replace(",", ",,")


def share(tag, folder, options=""):
    """The arguments that give a folder to the guest over 9p."""
    return ["-virtfs", f"local,path={quote(folder)},mount_tag={tag},security_model=none" +
            (f",{options}" if options else "")]
