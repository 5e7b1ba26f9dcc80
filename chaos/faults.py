"""What is done to a cluster under a job, and what the job may then show.

A fault has two halves: `strike`, which is done at one moment, and `after`, which goes on beside the job: putting right
again, or all of it where it takes long. Both are given the Scene.
"""

import dataclasses
import signal
import threading
import typing

# How long what can end lasts: longer than a silent peer is waited for.
LASTS = 15.0
# How long a process that was killed stays away.
AWAY = 3.0


@dataclasses.dataclass
class Scene:
    """The cluster, the victims (the first is the one that the scenario names), and the end of the round, which nothing
    here outlives."""
    cluster: typing.Any
    victims: list
    over: threading.Event

    @property
    def victim(self):
        return self.victims[0]

    def wait(self, seconds):
        """Waits; not beyond the end of the round."""
        self.over.wait(seconds)


def nothing(_scene):
    pass


@dataclasses.dataclass(frozen=True)
class Fault:
    """What it is, for people; what it needs of the machine: "" (nothing), "network" or "disk"; how many it strikes."""
    about: str
    strike: typing.Callable = nothing
    after: typing.Callable = nothing
    needs: str = ""
    victims: int = 1
    strikes_coordinator: bool = False
    # Whether data is lost, so that map tasks have to run again.
    loses: bool = False
    # Whether `after` is what matters, so that the application waits for it.
    takes_long: bool = False
    # Whether whoever it strikes must hold data for it to mean anything.
    strikes_data: bool = True


def kill(scene):
    for victim in scene.victims:
        victim.kill()


def start_later(scene):
    scene.wait(AWAY)
    for victim in scene.victims:
        victim.start()


def empty(scene):
    scene.victim.kill()
    scene.victim.wipe()


def start_now(scene):
    scene.victim.start()


def stop(scene):
    scene.victim.signal(signal.SIGSTOP)


def resume(scene):
    scene.wait(LASTS)
    scene.victim.signal(signal.SIGCONT)


def cut(scene):
    scene.victim.host.cut()


def heal(scene):
    scene.wait(LASTS)
    scene.victim.host.heal()


def fill_disk(scene):
    scene.victim.disk.fill()


def break_disk(scene):
    scene.victim.disk.fail()


def freeze_disk(scene):
    scene.victim.disk.freeze()


def thaw_disk(scene):
    scene.wait(LASTS)
    scene.victim.disk.thaw()


def roll(scene):
    """Restarts every process as an upgrade does: the next one when the last is back."""
    cluster = scene.cluster
    for node in cluster.nodes:
        if scene.over.is_set():
            return
        node.terminate()
        node.start()
        cluster.await_workers()


def drain(scene):
    """Drains the worker, and takes it away for good."""
    scene.cluster.drain(scene.victim)
    scene.victim.kill()


FAULTS = {
    "kill": Fault("SIGKILL; it stays away", kill),
    "restart": Fault("SIGKILL; it is started again on what its disk has", kill, start_later),
    "empty": Fault("SIGKILL; it is started again with an empty disk", empty, start_now),
    "stop": Fault("SIGSTOP; SIGCONT after a while", stop, resume),
    "cut": Fault("nothing reaches it and nothing comes from it; healed after a while", cut, heal, needs="network"),
    "disk-full": Fault("its disk has no room left", fill_disk, needs="disk"),
    "disk-error": Fault("its disk answers everything with an error", break_disk, needs="disk"),
    "disk-hang": Fault("its disk takes no write for a while", freeze_disk, thaw_disk, needs="disk"),
    "kill-coordinator": Fault("SIGKILL of one coordinator; it is started again", kill, start_later,
                              strikes_coordinator=True, strikes_data=False),
    "kill-coordinators": Fault("SIGKILL of both coordinators; they are started again", kill, start_later, victims=2,
                               strikes_coordinator=True, strikes_data=False),
    "rolling": Fault("every process is stopped by SIGTERM and started again, one after another", after=roll,
                     takes_long=True, strikes_data=False),
    "drain": Fault("the worker is drained, then killed", after=drain, takes_long=True),
    "two-lost": Fault("SIGKILL of two workers; they stay away", kill, victims=2, loses=True),
}
