"""A RESP client that hands out replies as the bytes that came, for tests that compare servers."""

import socket


def encode(command):
    """A command, given as a list of str, bytes or numbers, as a RESP array."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class RawClient:
    def __init__(self, address, timeout=30):
        """address: the path of a Unix socket, or a (host, port) pair."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.pending = b""

    def close(self):
        self.socket.close()

    def _fill(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed the connection; left over: %r" % self.pending[:200])
        self.pending += data

    def _take(self, size):
        while len(self.pending) < size:
            self._fill()
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def _line(self):
        while b"\r\n" not in self.pending:
            self._fill()
        return self._take(self.pending.index(b"\r\n") + 2)

    def reply(self):
        """The bytes of exactly one reply, nested ones included."""
        line = self._line()
        kind, number = line[:1], line[1:-2]
        if kind in b"+-:_,#(":
            return line
        if kind in b"$=!":
            return line if int(number) < 0 else line + self._take(int(number) + 2)
        if kind in b"*~>%":
            count = max(int(number), 0) * (2 if kind == b"%" else 1)
            return line + b"".join(self.reply() for _ in range(count))
        raise ValueError("not a RESP reply: %r" % line)

    def pipeline(self, commands):
        """Sends all commands at once and returns their replies."""
        self.socket.sendall(b"".join(encode(command) for command in commands))
        return [self.reply() for _ in commands]

    def call(self, *command):
        return self.pipeline([command])[0]


def elements(reply):
    """The bulk strings of a flat array (or set), as a list."""
    header, rest = reply.split(b"\r\n", 1)
    assert header[:1] in b"*~", reply
    found = []
    for _ in range(int(header[1:])):
        size, rest = rest.split(b"\r\n", 1)
        assert size[:1] == b"$", reply
        length = int(size[1:])
        found.append(rest[:length])
        rest = rest[length + 2:]
    assert rest == b"", reply
    return found
