"""A scenario is a fault, the phase of the job that it strikes in, the job, the first victim, and the moment.
As text: kill@fin/join/worker-2+35ms."""

import dataclasses
import random
import re

import faults

JOBS = ["terasort", "join"]
# The longest time after the job was told to go on, in milliseconds: about as long as what the job then does there.
PHASES = {"writing": 1500, "fin": 60, "between": 500, "reading": 1500}
_TEXT = re.compile(r"(?P<fault>[\w-]+)@(?P<phase>\w+)/(?P<job>\w+)/(?P<victim>\w+-\d+)(?:\+(?P<delay>\d+)ms)?")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """With `delay` 0 the fault strikes while the job stands still, else that many milliseconds after it went on."""
    fault: str
    phase: str
    job: str
    victim: str
    delay: int = 0

    def __str__(self):
        return f"{self.fault}@{self.phase}/{self.job}/{self.victim}" + (f"+{self.delay}ms" if self.delay else "")


def parse(text):
    """The scenario that a text names."""
    match = _TEXT.fullmatch(text)
    if not match or match["fault"] not in faults.FAULTS or match["phase"] not in PHASES or match["job"] not in JOBS:
        raise SystemExit(f"{text} is no scenario: FAULT@PHASE/JOB/VICTIM+DELAYms, with one of "
                         f"{', '.join(faults.FAULTS)}; {', '.join(PHASES)}; {', '.join(JOBS)}; and worker-2, "
                         "for example")
    return Scenario(match["fault"], match["phase"], match["job"], match["victim"], int(match["delay"] or 0))


# The faults that differ most; each phase and both jobs several times.
SMOKE = [parse(text) for text in [
    "kill@writing/terasort/worker-1", "stop@fin/join/worker-2", "empty@between/join/worker-3",
    "kill@reading/terasort/worker-2+300ms", "disk-full@writing/join/worker-1", "disk-error@reading/terasort/worker-3",
    "cut@fin/terasort/worker-1+20ms", "kill-coordinators@writing/join/coordinator-1",
    "rolling@writing/terasort/worker-1", "drain@writing/join/worker-3", "two-lost@between/terasort/worker-1",
]]


def stream(seed, workers, coordinators, only=""):
    """Scenarios without end, in an order that `seed` decides: every fault in every phase of every job comes once before
    any comes again. `only` is a comma-separated list of parts of their names."""
    chance = random.Random(seed)
    parts = [part for part in only.split(",") if part]
    while True:
        every = [(fault, phase, job) for fault in faults.FAULTS for phase in PHASES for job in JOBS]
        chance.shuffle(every)
        chosen = 0
        for fault, phase, job in every:
            role = "coordinator" if faults.FAULTS[fault].strikes_coordinator else "worker"
            victim = f"{role}-{chance.randint(1, coordinators if role == 'coordinator' else workers)}"
            delay = chance.choice([0, chance.randint(1, PHASES[phase])])
            scenario = Scenario(fault, phase, job, victim, delay)
            if not parts or any(part in str(scenario) for part in parts):
                chosen += 1
                yield scenario
        if chosen == 0:
            raise SystemExit(f"no scenario has one of {', '.join(parts)} in its name")
