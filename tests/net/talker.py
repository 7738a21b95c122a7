"""A server of the world outside that does what it is told, for many clients at once, on port 9001. The
first byte of a connection says what:

E         everything comes back, until the client ends
C         what the client sends until its end is counted; then the number comes, and that many bytes more
S         says "bye" and nothing more, and counts what comes afterwards
L         how much came of the last S
Dnnnnnnnn as many bytes at once

Datagrams to that port come back; of those that begin with C their size. Arguments: the addresses. It says when it is ready."""
import asyncio
import resource
import sys

last = [0]


async def count(reader):
    n = 0
    while data := await reader.read(1 << 18):
        n += len(data)
    return n


async def talk(reader, writer):
    word = await reader.read(1)
    if word == b"E":
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    elif word == b"C":
        n = await count(reader)
        writer.write(b"%08d" % n + bytes(n))
    elif word == b"S":
        writer.write(b"bye")
        writer.write_eof()
        last[0] = await count(reader)
    elif word == b"L":
        writer.write(b"%d" % last[0])
    elif word == b"D":
        writer.write(bytes(int(await reader.readexactly(8))))
    await writer.drain()
    writer.close()


async def session(reader, writer):
    try:
        await talk(reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(b"%d" % len(data) if data[:1] == b"C" else data, addr)


async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    for address in sys.argv[1:]:
        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, (address, 9001))
    server = await asyncio.start_server(session, sys.argv[1:], 9001, backlog=2000)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
