"""A client of bRPC's baidu_std in bytes, so that no library stands between."""

import gzip
import socket
import struct
import zlib

SERVICE = "baidu.paddle_serving.predictor.general_model.GeneralModelService"


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(message):
    """The fields of a message: (number, value), texts and messages as bytes."""
    place = 0

    def take():
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        key = take()
        if key & 7 == 0:
            yield key >> 3, take()
        elif key & 7 == 2:
            size = take()
            yield key >> 3, message[place : place + size]
            place += size
        else:
            size = 4 if key & 7 == 5 else 8
            yield key >> 3, message[place : place + size]
            place += size


def tensor(texts=(), kind=20, shape=(1,), content=None, floats=None):
    message = b"".join(data(9, text) for text in texts)
    if floats is not None:
        message += data(2, struct.pack(f"<{len(floats)}f", *floats))
    if content is not None:
        message += data(15, content)
    return message + number(10, kind) + data(11, b"".join(varint(extent) for extent in shape)) + data(14, b"inputs")


def request(*tensors, fetched=("prediction",)):
    return b"".join(data(1, one) for one in tensors) + b"".join(data(2, name.encode()) for name in fetched)


def frame(payload, correlation=1, service=SERVICE, method="inference", packing=0, attachment=b"", token=None, extra=b""):
    meta = data(1, data(1, service.encode()) + data(2, method.encode()) + number(3, 0)) + number(3, packing)
    meta += number(4, correlation)
    if attachment:
        meta += number(5, len(attachment))
    if token:
        meta += data(7, token)
    meta += extra
    return b"PRPC" + struct.pack(">II", len(meta) + len(payload) + len(attachment), len(meta)) + meta + payload + attachment


def unpack_snappy(block):
    import cramjam

    return bytes(cramjam.snappy.decompress_raw(block))


UNPACK = {0: bytes, 1: unpack_snappy, 2: gzip.decompress, 3: zlib.decompress}


class Client:
    """A connection; answers come back in any order."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message):
        self.socket.sendall(message)

    def _take(self, size):
        out = bytearray()
        while len(out) < size:
            part = self.socket.recv(size - len(out))
            if not part:
                raise ConnectionError("closed")
            out += part
        return bytes(out)

    def receive(self):
        """(correlation id, number, text, payload) of the next answer; `packing` tells how that was packed."""
        head = self._take(12)
        assert head[:4] == b"PRPC", head
        body, meta = struct.unpack(">II", head[4:])
        told = self._take(body)
        correlation = code = self.packing = 0
        text = ""
        for field, value in fields(told[:meta]):
            if field == 2:
                for inner, inner_value in fields(value):
                    if inner == 1:
                        code = inner_value
                    elif inner == 2:
                        text = inner_value.decode()
            elif field == 3:
                self.packing = value
            elif field == 4:
                correlation = value
        return correlation, code, text, UNPACK[self.packing](told[meta:])

    def ask(self, payload, **options):
        self.send(frame(payload, **options))
        return self.receive()

    def close(self):
        self.socket.close()


def outputs(payload):
    """The tensors of an answer: {alias: list of values}."""
    found = {}
    for field, output in fields(payload):
        if field != 1:
            continue
        for inner, one in fields(output):
            if inner != 1:
                continue
            parts = list(fields(one))
            alias = next(value.decode() for name, value in parts if name == 14)
            texts = [value.decode() for name, value in parts if name == 9]
            floats = b"".join(value for name, value in parts if name == 2)
            found[alias] = texts or list(struct.unpack(f"<{len(floats) // 4}f", floats))
    return found
