"""Machines for the processes of a cluster: each in a network namespace of its own with an address and a name, on a
bridge that it can be cut from. Without namespaces they are addresses of this machine."""

import subprocess

from . import isolation

_NETWORK = "10.77.0"
_BRIDGE = "overhand0"
# The end of the cable inside of a host.
_INSIDE = "eth0"


def _ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True)


class Host:
    """A machine, by its number (from 1)."""

    def __init__(self, name, number, address):
        self.name, self.number, self.address = name, number, address

    def command(self, command):
        """What runs `command` there."""
        return command


class IsolatedHost(Host):
    """A machine in a network namespace."""

    def __init__(self, name, number):
        super().__init__(name, number, f"{_NETWORK}.{10 + number}")
        self.mac = f"02:00:00:00:00:{10 + number:02x}"
        self.cable = f"cable{number}"
        _ip("netns", "add", name)
        _ip("link", "add", self.cable, "type", "veth", "peer", "name", _INSIDE, "address", self.mac, "netns", name)
        _ip("link", "set", self.cable, "master", _BRIDGE, "up")
        _ip("-n", name, "addr", "add", f"{self.address}/24", "dev", _INSIDE)
        _ip("-n", name, "link", "set", _INSIDE, "up")
        _ip("-n", name, "link", "set", "lo", "up")

    def command(self, command):
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self.name, *named, *command]

    def cut(self):
        """From now on nothing reaches it and nothing comes from it, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def heal(self):
        _ip("link", "set", self.cable, "up")

    def knows(self, address, mac):
        """Nobody has to ask who has `address`: so that a packet to a host that is cut off is lost without an error."""
        _ip("-n", self.name, "neigh", "replace", address, "lladdr", mac, "nud", "permanent", "dev", _INSIDE)

    def remove(self):
        _ip("link", "del", self.cable)
        _ip("netns", "del", self.name)


class Network:
    """The machines of one cluster."""

    def __init__(self, names):
        self.hosts = {}
        if not isolation.isolated():
            self.hosts = {name: Host(name, number, f"127.0.77.{number}") for number, name in enumerate(names, 1)}
            return
        mac = "02:00:00:00:00:01"
        _ip("link", "add", _BRIDGE, "address", mac, "type", "bridge")
        _ip("addr", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        self.hosts = {name: IsolatedHost(name, number) for number, name in enumerate(names, 1)}
        for host in self.hosts.values():
            _ip("neigh", "replace", host.address, "lladdr", host.mac, "nud", "permanent", "dev", _BRIDGE)
            host.knows(f"{_NETWORK}.1", mac)
            for other in self.hosts.values():
                if other is not host:
                    host.knows(other.address, other.mac)

    def remove(self):
        """Takes it down; its processes have ended."""
        if isolation.isolated():
            for host in self.hosts.values():
                host.remove()
            _ip("link", "del", _BRIDGE)
