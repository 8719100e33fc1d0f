"""Simulated replicas beside the real engine, and routing between them."""

import json
from random import Random

import pytest

from plugtron import assemble, spec_of
from plugtron.assembly.build import one
from plugtron.bench.recorded import Recording
from plugtron.bench.replay import one_by_one, replay
from plugtron.bench.replicas.controller import VOCABULARY
from plugtron.bench.replicas.fleet import run_fleet
from plugtron.bench.replicas.replica import SimulatedReplica
from plugtron.bench.replicas.step_cost import StepCost, StepTiming
from plugtron.parallel.runtime import Runtime
from plugtron.plugin.component import Kind
from plugtron.request.request import InferenceRequest
from plugtron.routing.loads import Loads
from plugtron.routing.prefix_table import PrefixTable
from plugtron.routing.router import LeastLoaded, PrefixAware, RoundRobin

COST = StepCost(step=0.01, row=0.001, prompt_token=0.0001)
COUNTS = (
    "steps", "tokens", "prompt_tokens", "cached_tokens", "preemptions", "peak_running", "peak_waiting",
    "peak_blocks_used", "cached_blocks",
)  # fmt: skip


def recorded(folder, seed, *, apart=0.0):
    """A recording of 20 requests: four conversations whose turns grow, and prompts that nobody shares."""
    random, lines, told = Random(seed), [], dict.fromkeys("abcd", 4)
    for number in range(20):
        name, output = random.choice("abcd-"), random.randint(1, 20)
        common = {"time": 5 + number * apart, "output_tokens": output}
        if name == "-":
            lines.append({**common, "prompt_tokens": random.randint(1, 40)})
            continue
        length = told[name] + random.randint(1, 5)
        lines.append({**common, "prefix": name, "prefix_tokens": told[name], "prompt_tokens": length})
        told[name] = min(length, 36)
    file = folder / "arrivals.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Recording.read(file)


@pytest.fixture(scope="module")
def small_engine(checkpoint):
    """The engine of a run with little memory, and what it counts of requests that are run by a function."""

    def run(replayed):
        options = {"max_batch_size": 5, "block_size": 4, "blocks": 17, "max_step_tokens": 16}
        engine = {"name": "dynamic", "options": options}
        with assemble(spec_of({"version": 1, "model": {"checkpoint": str(checkpoint)}, "engine": engine})) as session:
            info = session.parts.wrapper.info
            replayed(session, lambda recording: recording.make(info.vocab_size, info.eos_ids))
            return one(session.resolved, Kind.ENGINE), info.max_positions, session.engine.stats

    return run


@pytest.fixture
def runtime():
    made = Runtime.create(device="cpu")
    yield made
    made.close()


@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.wide) for seed in range(1, 8)]])
@pytest.mark.parametrize("way", ["at once", "one by one"])
def test_a_simulated_replica_has_the_counts_of_the_engine(small_engine, runtime, tmp_path, way, seed):
    """Exactly: tokens, those from memory, steps, preemptions, peaks."""
    recording = recorded(tmp_path, seed, apart=0.0 if way == "at once" else 1000.0)

    def replayed(session, make):
        assert (replay if way == "at once" else one_by_one)(session, make(recording)) > 0

    engine, positions, real = small_engine(replayed)
    replica = SimulatedReplica(engine, runtime, COST, positions=positions)
    requests = recording.make(VOCABULARY)
    seconds, got = run_fleet([replica], RoundRobin(1), requests, recording.times)
    simulated = replica.stats
    assert got == [20]
    assert {name: getattr(simulated, name) for name in COUNTS} == {name: getattr(real, name) for name in COUNTS}
    assert real.cached_tokens > 0
    assert way == "one by one" or real.preemptions > 0
    assert seconds == max(request.finished for request in requests)
    assert all(request.arrival <= request.started < request.first_token <= request.finished for request in requests)


def test_a_step_takes_what_it_costs(small_engine, runtime, tmp_path):
    """A prompt of 20 tokens in chunks of 16 and 4, and 3 tokens."""
    file = tmp_path / "one.jsonl"
    file.write_text('{"time": 7, "prompt_tokens": 20, "output_tokens": 3}\n')
    engine, positions, _ = small_engine(lambda session, make: None)
    replica = SimulatedReplica(engine, runtime, COST, positions=positions)
    (request,) = Recording.read(file).make(VOCABULARY)
    seconds, _ = run_fleet([replica], RoundRobin(1), [request], [0.0])
    first = 2 * COST.step + 20 * COST.prompt_token + COST.row
    assert request.timings.time_to_first_token == pytest.approx(first)
    assert seconds == pytest.approx(first + 2 * (COST.step + COST.row))


def test_requests_reach_replicas_while_others_step(small_engine, runtime, tmp_path):
    """Two replicas do in half the time what one does; the least loaded one is found when requests end out of order."""
    engine, positions, _ = small_engine(lambda session, make: None)
    recording = recorded(tmp_path, 3)
    taken = {}
    for count in (1, 2):
        replicas = [SimulatedReplica(engine, runtime, COST, positions=positions) for _ in range(count)]
        taken[count], got = run_fleet(replicas, LeastLoaded(count), recording.make(VOCABULARY), recording.times)
        assert sum(got) == 20
    assert 0.4 < taken[2] / taken[1] < 0.7


def test_costs_are_fitted_to_steps():
    random = Random(0)
    steps = [(random.randint(1, 16), random.choice([0, 0, 0, 40, 200])) for _ in range(60)]
    exact = StepCost.fit([StepTiming(*step, COST.seconds(*step)) for step in steps])
    for name in ("step", "row", "prompt_token"):
        assert getattr(exact, name) == pytest.approx(getattr(COST, name))
    # What would be less than nothing is nothing.
    odd = StepCost.fit([StepTiming(rows, tokens, 0.02 - 0.001 * rows) for rows, tokens in steps])
    assert odd.row == 0
    assert odd.step > 0
    assert exact.error([StepTiming(1, 0, 2 * COST.seconds(1, 0))]) == pytest.approx(0.5)


def test_loads():
    random, loads, counted, opened = Random(1), Loads(7), [0] * 7, []
    assert [loads.least for _ in range(2)] == [0, 0]
    for _ in range(2000):
        if opened and random.random() < 0.48:
            replica, by = opened.pop(random.randrange(len(opened))), -1
        else:
            replica, by = random.choice([loads.least, random.randrange(7)]), 1
            opened.append(replica)
        loads.change(replica, by)
        counted[replica] += by
        assert [loads[each] for each in range(7)] == counted
        assert counted[loads.least] == min(counted)
        assert loads.mean == pytest.approx(sum(counted) / 7)
    # Ties go round.
    fresh, chosen = Loads(3), []
    for _ in range(6):
        chosen.append(fresh.least)
        fresh.change(chosen[-1], 1)
        fresh.change(chosen[-1], -1)
    assert chosen == [0, 1, 2, 0, 1, 2]


def test_a_table_of_prefixes_forgets_what_was_asked_for_longest_ago():
    table = PrefixTable(block_size=4, most=4)
    one, other = table.keys(range(13), ""), table.keys([*range(8), 99, 98, 97, 96, 0], "")
    assert len(one) == len(other) == 3  # not the block that the last token stands in
    assert len(table.keys(range(12), "")) == 2
    assert table.keys(range(13), "salt")[0] != one[0]
    table.note(one, 5)
    table.note(other, 6)
    assert list(table.holders(one)) == [5]
    assert list(table.holders(other)) == [6]
    assert sorted(table.holders(one[:2])) == [5, 6]
    table.note(table.keys([7] * 9, ""), 1)
    assert len(table) == 4
    assert sorted(table.holders(one)) == [5, 6]  # its last block has gone
    assert not table.holders(table.keys([3] * 9, ""))


def test_a_prefix_that_everybody_has_is_spread_over_replicas():
    """As long as requests are few they share a replica; where one has far more than the average, others help."""
    router = PrefixAware(4, PrefixTable(block_size=4, most=1000))
    prompt = InferenceRequest(prompt=[1] * 40, prompt_tokens=[1] * 40)
    chosen = [router.choose(prompt) for _ in range(40)]
    assert chosen[:3] == [0, 0, 0]
    shares = [chosen.count(replica) for replica in range(4)]
    assert max(shares) <= 1.25 * 10 + 3
    assert sum(map(bool, shares)) >= 3
    for replica in chosen:
        router.ended(replica)
    alone = InferenceRequest(prompt=[2] * 40, prompt_tokens=[2] * 40)
    assert len({router.choose(alone) for _ in range(2)}) == 1
