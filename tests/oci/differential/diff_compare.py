"""diff_compare - where a runtime's result differs from those of all others."""
import json


class Difference:
    """`what` is the path of the thing, such as probe/uid; `ours` and `theirs` its values. `fault`: wrong
    whatever the others do."""

    def __init__(self, what, ours, theirs, fault=False):
        self.what, self.ours, self.theirs, self.fault = what, ours, theirs, fault

    def __str__(self):
        return f"{self.what}: {short(self.ours)}, others: {', '.join(short(t) for t in self.theirs)}"


def short(value):
    text = json.dumps(value, sort_keys=True)
    return text if len(text) < 300 else text[:300] + "..."


def outcome(result):
    if result.get("code") == "timeout" or result.get("start") == "timeout":
        return "timeout"
    if result.get("code") == "ended the sandbox":
        return "killed"
    if result.get("created"):
        return "started" if result["start"] == 0 else "created only"
    if result.get("probe") is not None:
        return "ran"
    # Without the probe's words: a shell that ended by itself says nothing.
    return "refused" if result["code"] and (result["error"] or result["code"] == 1) else "ran"


def leaves(value, path=()):
    """What is compared, one by one: {path: value}."""
    if isinstance(value, dict) and value:
        for k, v in value.items():
            yield from leaves(v, path + (k,))
    else:
        yield path, value


# Not of the container: messages differ, and what the descriptors of the test are.
LEFT_OUT = {"error", "left"}


def differences(results, ours, others):
    mine = results[ours]
    mine_outcome, their_outcomes = outcome(mine), [outcome(results[o]) for o in others]
    if mine_outcome not in their_outcomes:
        yield Difference("outcome", [mine_outcome, mine["error"][-300:]],
                         [[w, results[o]["error"][-200:]] for w, o in zip(their_outcomes, others)])
    yield from (Difference(what, value, [None], True) for what, value in alone(mine, [results[o] for o in others]))
    # What is looked at further is what those see who did the same: one alone may have a habit of its own.
    peers = [results[o] for o, w in zip(others, their_outcomes) if w == mine_outcome]
    if len(peers) < min(2, len(others)) or mine_outcome == "refused":
        return
    flat = dict(leaves({k: v for k, v in mine.items() if k not in LEFT_OUT}))
    theirs = [dict(leaves({k: v for k, v in p.items() if k not in LEFT_OUT})) for p in peers]
    for path in sorted(set(flat).union(*theirs), key=str):
        missing = object()
        value, values = flat.get(path, missing), [t.get(path, missing) for t in theirs]
        if value not in values:
            yield Difference("/".join(path), None if value is missing else value,
                             [None if v is missing else v for v in values])


def alone(mine, others):
    """What is wrong whatever the others do, but for groups above the container's, which all leave."""
    left = [name for name in mine["left"] if not any(name in o["left"] for o in others)]
    if left:
        yield "left", left
    if outcome(mine) == "refused" and not mine["error"].strip():
        yield "refused without a word", mine["code"]
    if outcome(mine) == "refused" and not isinstance(mine["code"], int):
        yield "refused by", mine["code"]
    if "internal error" in mine["error"] or "Sanitizer" in mine["error"] or mine["code"] in (-6, -11, 134, 139):
        yield "crashed", mine["error"]
