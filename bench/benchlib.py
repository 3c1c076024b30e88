"""What the benchmark scripts share: servers that are started and stopped by pid, the load client, tables and JSON."""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SIZE = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Failure(Exception):
    """Something that ends the script with a sentence instead of a traceback."""


def parse_size(text):
    match = re.fullmatch(r"(\d+)([kmg]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 512m or 1g")
    return int(match[1]) * SIZE.get(match[2], 1)


def parser(description):
    """The options that every script has."""
    own = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--build", default=os.path.join(ROOT, "build"), help="build directory [build]")
    own.add_argument("--zslabd", help="the daemon to measure [BUILD/bin/zslabd]")
    own.add_argument("--zslabd-args", default="", help="more arguments for it, in one string")
    own.add_argument("--server-core", type=int, default=0, help="the core of the servers [0]")
    own.add_argument("--client-core", type=int, default=1, help="the core of the client [1]")
    own.add_argument("--port", type=int, default=27400, help="first of the ports to use [27400]")
    own.add_argument("--json", metavar="FILE", help="results as JSON too")
    own.add_argument("--quick", action="store_true", help="a short run, for a first look")
    return own


def run_main(main):
    """Runs main() so that failures are one sentence, and Ctrl-C and SIGTERM still stop the servers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except Failure as failure:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


def program(options, name):
    path = os.path.join(options.build, "bin", name)
    if not os.access(path, os.X_OK):
        raise Failure(f"{path} is not there; build first, or say where with --build")
    return path


def system_program(name, package):
    path = shutil.which(name)
    if not path:
        raise Failure(f"{name} is not installed (Debian package {package})")
    return path


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


class Server:
    """A server process on a core of its own, stopped by pid when the `with` block ends."""

    protocol = "resp"
    next_port = None

    def __init__(self, options, name, command, core=None):
        self.name = name
        Server.next_port = (Server.next_port or options.port - 1) + 1
        self.port = Server.next_port
        self.core = options.server_core if core is None else core
        self.command = [part.replace("@PORT@", str(self.port)) for part in command]

    def __enter__(self):
        self.log = tempfile.TemporaryFile("w+")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise Failure(f"port {self.port} for {self.name}: {error.strerror}; "
                              "choose others with --port") from None
        self.process = subprocess.Popen(["taskset", "-c", str(self.core)] + self.command, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT)
        try:
            wait_for(self.answers, f"the start of {self.name}", 60)
        except BaseException:
            self.__exit__()
            raise
        self.rss_at_start = self.memory()["rss"]
        return self

    def answers(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise Failure(f"{self.name} ended with status {self.process.returncode}: {self.log.read()[-500:].strip()}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                return self.greet(probe)
        except OSError:
            return False

    def greet(self, probe):
        probe.sendall(b"PING\r\n")
        return probe.recv(64).startswith(b"+PONG")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def pause(self):
        """A stopped server cannot disturb the one that is measured."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def memory(self):
        """Bytes of the process's resident memory; `arena` is the part in memfd mappings, `outside` the rest."""
        arena = total = 0
        in_arena = False
        with open(f"/proc/{self.process.pid}/smaps") as smaps:
            for line in smaps:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                    in_arena = "memfd:" in line
                elif line.startswith("Rss:"):
                    size = int(line.split()[1]) << 10
                    total += size
                    arena += size if in_arena else 0
        return {"rss": total, "arena": arena, "outside": total - arena}

    def growth(self):
        return self.memory()["rss"] - self.rss_at_start

    def command_reply(self, *words):
        """One RESP command; returns its reply as bytes (the body of a bulk string), raises Failure on an error."""
        parts = [str(word).encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        with socket.create_connection(("127.0.0.1", self.port), 600) as connection:
            connection.sendall(request)
            stream = connection.makefile("rb")
            line = stream.readline().rstrip(b"\r\n")
            if line.startswith(b"$"):
                return stream.read(int(line[1:]))
        if line.startswith(b"-"):
            raise Failure(f"{self.name} answers {words[0]} with {line[1:].decode(errors='replace')}")
        return line[1:]

    def info(self):
        pairs = (line.split(":", 1) for line in self.command_reply("INFO").decode().splitlines() if ":" in line)
        return dict(pairs)

    def evicted(self):
        return int(self.info()["evicted_keys"])

    def objects(self):
        return int(self.command_reply("DBSIZE"))


class Nothing(Server):
    """Answers anything; a PING has the wrong shape for what it learns from the first line, so it is not asked."""

    def greet(self, probe):
        return True


class Memcached(Server):
    protocol = "memcached"

    def greet(self, probe):
        probe.sendall(b"version\r\n")
        return probe.recv(64).startswith(b"VERSION")

    def info(self):
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(b"stats\r\n")
            stream = connection.makefile("r")
            answer = {}
            for line in stream:
                if line.startswith("END"):
                    return answer
                _, name, value = line.rstrip().split(" ", 2)
                answer[name] = value
        raise Failure("memcached closed the connection")

    def evicted(self):
        return int(self.info()["evictions"])

    def objects(self):
        return int(self.info()["curr_items"])


def zslabd(options, memory, *more, core=None, name="zslabd"):
    path = options.zslabd or program(options, "zslabd")
    command = [path, "--bind", "127.0.0.1", "--port", "@PORT@", "--memory", str(memory), "--workers", "1"]
    return Server(options, name, command + list(more) + options.zslabd_args.split(), core)


def redis(options, memory, *more, core=None):
    path = system_program("redis-server", "redis-server")
    command = [path, "--bind", "127.0.0.1", "--port", "@PORT@", "--save", "", "--appendonly", "no",
               "--maxmemory", str(memory), "--maxmemory-policy", "allkeys-lru"]
    return Server(options, "redis", command + list(more), core)


def memcached(options, megabytes, *more, core=None):
    path = system_program("memcached", "memcached")
    command = [path, "-l", "127.0.0.1", "-p", "@PORT@", "-t", "1", "-m", str(megabytes), "-c", "2048"]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    return Memcached(options, "memcached", command + list(more), core)


def nothing(options, *more, core=None):
    return Nothing(options, "nothing", [program(options, "bench-nothing"), "--port", "@PORT@"] + list(more), core)


def core_seconds(core):
    """Time that a core has spent in processes so far."""
    with open("/proc/stat") as stat:
        for line in stat:
            name, *ticks = line.split()
            if name == f"cpu{core}":
                return sum(int(tick) for tick in ticks[:3]) / os.sysconf("SC_CLK_TCK")
    raise Failure(f"core {core} is not in /proc/stat")


def process_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Tells whether others used the two cores of a measurement, in which case its figures mean little."""

    def __init__(self, options, server):
        self.options = options
        self.server = server
        self.begin = time.monotonic()
        self.before = self.seconds()

    def seconds(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (core_seconds(self.server.core), process_seconds(self.server.process.pid),
                core_seconds(self.options.client_core), children.ru_utime + children.ru_stime)

    def others(self):
        """The larger of the shares of the two cores' time that went to neither server nor client."""
        spent = [after - before for before, after in zip(self.before, self.seconds())]
        elapsed = time.monotonic() - self.begin
        return max(0, spent[0] - spent[1], spent[2] - spent[3]) / elapsed


def warn_if_disturbed(shares):
    worst = max(shares, default=0)
    if worst > 0.1:
        print(f"\nwarning: other processes used up to {100 * worst:.0f} % of a core during a measurement; "
              "repeat on a quiet machine")


def load(options, server, **flags):
    """
    Runs bench-respload against a server; returns its JSON, and as `others` the share of a core that went to other
    processes meanwhile. A flag that is True is given without a value.
    """
    command = [program(options, "bench-respload"), "--server", server.address, "--protocol", server.protocol,
               "--core", str(options.client_core), "--json", "-"]
    for name, value in flags.items():
        if value is None or value is False:
            continue
        command.append("--" + name.replace("_", "-"))
        if value is not True:
            command.append(str(value))
    watch = Watch(options, server)
    answer = finish(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), server)
    answer["others"] = watch.others()
    return answer


def finish(process, server):
    """Waits for a bench-respload that was started with --json -; returns its JSON."""
    output, errors = process.communicate()
    answer = json.loads(output) if output else {}
    if process.returncode:
        reason = answer.get("first_error") or errors.strip()
        raise Failure(f"the load on {server.name} failed: {reason}\n  {' '.join(process.args)}")
    return answer


def fill(options, server, keys, first=0, **flags):
    return load(options, server, fill=True, keys=keys, first=first, pipeline=32, **flags)


def table(header, rows):
    """Prints columns, the first one to the left and the others to the right."""
    cells = [header] + rows
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def write_json(options, results):
    if options.json:
        with open(options.json, "w") as out:
            json.dump(results, out, indent=2)
            out.write("\n")


def median(values):
    return statistics.median(values)


def versions():
    """What was measured against, for the JSON."""
    answer = {}
    for name in ("redis-server", "memcached"):
        path = shutil.which(name)
        if path:
            answer[name] = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip()
    answer["kernel"] = os.uname().release
    return answer
