"""Frames as a hostile container would send them, and who hears them.

listen DEVICE LAST: prints the names in the payload of frames, until a moment after the one of this name
send DEVICE MAC IP IP6 OTHER-MAC OTHER-IP OTHER-IP6 [GATEWAY GATEWAY-MAC]: sends one of each, and prints their names
raw DEVICE FRAME...: sends these, in hexadecimal"""
import ipaddress
import re
import select
import socket
import struct
import sys

ALL = b"\xff" * 6
GATEWAY = "10.88.0.1"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, to, proto, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, proto, 0, socket.inet_aton(source), socket.inet_aton(to))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, to, proto, payload):
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 255) + ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed + payload


def udp(sport, name):
    return struct.pack("!HHHH", sport, 4000, 8 + len(name), 0) + name


def icmp6(source, to, kind, rest):
    body = struct.pack("!BBH", kind, 0, 0) + rest
    pseudo = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed + struct.pack("!II", len(body), 58)
    return body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]


def arp(sender_mac, sender, target, name):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 2, sender_mac, socket.inet_aton(sender), b"\0" * 6, socket.inet_aton(target)) + name


def frames(own, ip, ip6, other, ip_b, ip6_b, gateway=GATEWAY, gateway_mac="02:72:00:00:00:01"):
    """name, destination, source, type, payload"""
    own, other = mac(own), mac(other)
    local = "fe80::1"
    tag = struct.pack("!HH", 5, 0x0800)
    yield "honest4", other, own, 0x0800, ipv4(ip, ip_b, 17, udp(5000, b"=honest4="))
    yield "honest6", other, own, 0x86dd, ipv6(ip6, ip6_b, 17, udp(5000, b"=honest6="))
    yield "ip", other, own, 0x0800, ipv4("10.88.16.9", ip_b, 17, udp(5000, b"=ip="))
    yield "gatewayip", other, own, 0x0800, ipv4(gateway, ip_b, 17, udp(5000, b"=gatewayip="))
    yield "mac", other, b"\x02\x72\x0a\x58\x10\x09", 0x0800, ipv4(ip, ip_b, 17, udp(5000, b"=mac="))
    yield "gatewaymac", ALL, mac(gateway_mac), 0x0800, ipv4(ip, ip_b, 17, udp(5000, b"=gatewaymac="))
    yield "otherip", other, own, 0x0800, ipv4(ip_b, ip_b, 17, udp(5000, b"=otherip="))
    yield "othermac", ALL, other, 0x0800, ipv4(ip, ip_b, 17, udp(5000, b"=othermac="))
    yield "othermac6", ALL, other, 0x86dd, ipv6(ip6, ip6_b, 17, udp(5000, b"=othermac6="))
    yield "arpip", ALL, own, 0x0806, arp(own, gateway, ip_b, b"=arpip=")
    yield "arpother", ALL, own, 0x0806, arp(own, ip_b, gateway, b"=arpother=")
    yield "arpmac", ALL, own, 0x0806, arp(other, ip, ip_b, b"=arpmac=")
    yield "arpframe", ALL, other, 0x0806, arp(own, ip, ip_b, b"=arpframe=")
    yield "dhcp", ALL, own, 0x0800, ipv4(ip, "255.255.255.255", 17, udp(67, b"=dhcp="))
    yield "ip6", other, own, 0x86dd, ipv6(ip6_b, ip6_b, 17, udp(5000, b"=ip6="))
    yield "none6", other, own, 0x86dd, ipv6("::", ip6_b, 17, udp(5000, b"=none6="))
    yield "dhcp6", other, own, 0x86dd, ipv6(ip6, ip6_b, 17, udp(547, b"=dhcp6="))
    for name, kind, rest in (("ra", 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0)), ("redirect", 137, b"\0" * 36),
                             ("na", 136, b"\x60\0\0\0" + ipaddress.ip_address(ip6_b).packed)):
        rest += b"=" + name.encode() + b"="
        yield name, mac("33:33:00:00:00:01"), own, 0x86dd, ipv6(ip6, "ff02::1", 58, icmp6(ip6, "ff02::1", kind, rest))
        yield name, mac("33:33:00:00:00:01"), own, 0x86dd, ipv6(local, "ff02::1", 58, icmp6(local, "ff02::1", kind, rest))
    yield "vlan", other, own, 0x8100, tag + ipv4(ip, ip_b, 17, udp(5000, b"=vlan="))
    yield "other", ALL, own, 0x88b5, b"=other=" + b"\0" * 40
    for name, kind in (("lldp", 0x88cc), ("eapol", 0x888e), ("pause", 0x8808), ("mpls", 0x8847), ("pppoe", 0x8863), ("rarp", 0x8035),
                       ("qinq", 0x88a8), ("profinet", 0x8892)):
        for to in (ALL, other, mac(gateway_mac), *(mac(f"01:80:c2:00:00:{n:02x}") for n in (0, 1, 2, 3, 14))):
            yield name, to, own, kind, b"=" + name.encode() + b"=" + b"\0" * 40
    yield "bpdu", mac("01:80:c2:00:00:00"), own, 38, b"\x42\x42\x03=bpdu=" + b"\0" * 28
    yield "honestarp", ALL, own, 0x0806, arp(own, ip, ip_b, b"=honestarp=")  # the last: everybody hears it


def main():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((sys.argv[2], 0))
    if sys.argv[1] == "raw":
        for frame in sys.argv[3:]:
            s.send(bytes.fromhex(frame))
        return
    if sys.argv[1] == "send":
        for name, to, source, kind, payload in frames(*sys.argv[3:]):
            s.send(to + source + struct.pack("!H", kind) + payload)
            print(name)
        return
    print("ready", flush=True)
    heard, wait = set(), 30
    while select.select([s], [], [], wait)[0]:
        data, where = s.recvfrom(2048)
        if where[2] != socket.PACKET_OUTGOING:
            heard |= set(re.findall(rb"=([a-z0-9]+)=", data))
        if sys.argv[3].encode() in heard:
            wait = 0.3
    print(*(h.decode() for h in sorted(heard)))


if __name__ == "__main__":
    main()
