"""What is said about rounds: a line for each, and a table of all."""

import json


def figure(verdict, key):
    return str(verdict.result.get(key, "–"))


def line(number, verdict):
    """A round, in one line."""
    why = verdict.skipped or "; ".join(verdict.problems)
    return (f"{number:4}  {verdict.scenario:48} {verdict.word:8} redone {figure(verdict, 'redone'):>3}  "
            f"failed {figure(verdict, 'failed'):>3}  {verdict.seconds:4.0f} s" + (f"  {why}" if why else ""))


def table(verdicts):
    """All rounds as a table in Markdown, by scenario."""
    out = ["| fault | phase | job | victim | result | map tasks redone | failed tasks | job s | round s | why |",
           "|---|---|---|---|---|---|---|---|---|---|"]
    for scenario, verdict in sorted(verdicts, key=lambda pair: str(pair[0])):
        victim = scenario.victim + (f" +{scenario.delay} ms" if scenario.delay else "")
        cells = [scenario.fault, scenario.phase, scenario.job, victim, verdict.word, figure(verdict, "redone"),
                 figure(verdict, "failed"), figure(verdict, "wall_s"), f"{verdict.seconds:.0f}",
                 verdict.skipped or "; ".join(verdict.problems)]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def summary(verdicts):
    """How many of each kind of end."""
    words = [verdict.word for _, verdict in verdicts]
    text = f"chaos: {words.count('ok')} passed, {words.count('FAILED')} failed"
    return text + (f", {words.count('skipped')} skipped" if "skipped" in words else "")


def write(folder, heading, verdicts):
    """results.md for people, results.jsonl for programs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(f"# {heading}\n\n{table(verdicts)}\n{summary(verdicts)}\n")
    (folder / "results.jsonl").write_text("".join(
        json.dumps(dict(scenario=verdict.scenario, word=verdict.word, seconds=round(verdict.seconds, 1),
                        problems=verdict.problems, skipped=verdict.skipped, **verdict.result)) + "\n"
        for _, verdict in verdicts))
