import itertools
import math
import time
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from mldata.errors import InputError
from mldata_train.batches import Batching, BatchPlan, BatchSampler
from mldata_train.groups import index
from mldata_train.packing import Room, unit_shapes

NAMES = (
    "en es fr pt it ca gl oc eo hr sl an ro de nl sv da nb pl cs sk uk bg mk sr el tr fi et hu lv lt eu cy "
    "ga is mt sq af sw"
)
TAGS = NAMES.split()


class ASet:
    """Rows and their index. A concept is a string of tags; `kept` says which concept and tag a row is."""

    def __init__(self, concepts, *, lengths=None, tokens=None, anchor="en", part=7):
        concepts = [tags.split() if isinstance(tags, str) else tags for tags in concepts]
        self.rows = [(number, tag) for number, tags in enumerate(concepts) for tag in tags]
        self.size = Counter(number for number, _ in self.rows)
        lengths = np.full(len(self.rows), 10) if lengths is None else np.asarray(lengths)
        self.tokens = 2 * lengths if tokens is None else np.asarray(tokens)
        names = pl.Series([f"concept {number}" for number, _ in self.rows], dtype=pl.String)
        tags = pl.Series([tag for _, tag in self.rows], dtype=pl.String)
        self.parts = [
            (
                names[at : at + part],
                tags[at : at + part],
                lengths[at : at + part],
                self.tokens[at : at + part],
            )
            for at in range(0, len(self.rows), part)
        ]
        self.groups = index(self.parts, anchor=anchor)

    def plan(self, batching=None, *, rows, processes=1, accumulation=1, seed=0):
        return BatchPlan(
            self.groups,
            batching or Batching(),
            rows=rows,
            processes=processes,
            accumulation=accumulation,
            seed=seed,
        )

    def concepts_in(self, batch):
        return {self.rows[row][0] for row in batch}


def of_sizes(sizes):
    """Concepts of so many rows: English, and languages that differ from one to the next."""
    return ASet(
        [TAGS[0], *(TAGS[1 + (7 * number + at) % (len(TAGS) - 1)] for at in range(size - 1))]
        for number, size in enumerate(sizes)
    )


def batches(plan, epoch=0):
    return [rows.tolist() for rows in plan.epoch(epoch)]


SIZES = st.one_of(
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
    st.lists(st.integers(2, 5), min_size=1, max_size=80),
    st.tuples(st.integers(1, 40), st.integers(1, 60)).map(lambda both: [both[0]] * both[1]),
)


@st.composite
def plans(draw, kinds=("aligned", "shuffled", "monolingual", "anchor-only"), aligns=("device", "step")):
    """A set, a plan, and what it was asked for; asks that can't be met are another test's."""
    held = of_sizes(draw(SIZES))
    batching = Batching(
        kind=draw(st.sampled_from(kinds)),
        align=draw(st.sampled_from(aligns)),
        with_anchor=draw(st.booleans()),
        group_size=draw(st.none() | st.integers(2, 41)),
        by_length=draw(st.booleans()),
    )
    asked = {
        "rows": draw(st.integers(1, 64)),
        "processes": draw(st.integers(1, 9)),
        "accumulation": draw(st.integers(1, 5)),
        "seed": draw(st.integers(0, 2**40)),
    }
    try:
        plan = held.plan(batching, **asked)
    except InputError:
        reject()
    return held, plan, asked


def examples(number):
    slow = [HealthCheck.filter_too_much, HealthCheck.too_slow]
    return settings(max_examples=number, deadline=None, suppress_health_check=slow)


# --- what a batch is made of


def test_two_concepts_on_two_processes_are_a_batch_each():
    held = ASet(["en es fr", "en es fr"])
    assert sorted(batches(held.plan(rows=3, processes=2))) == [[0, 1, 2], [3, 4, 5]]


def test_one_concept_is_spread_over_the_processes_and_steps_of_an_optimiser_step():
    held = ASet(["en es fr it"])
    spread = Batching(align="step")
    assert batches(held.plan(spread, rows=1, processes=2, accumulation=2)) == [[0], [1], [2], [3]]
    held = ASet(["en es fr it pt ca"])
    assert batches(held.plan(spread, rows=2, processes=2, accumulation=2)) == [[0, 1], [2, 3], [4], [5]]


def test_where_rows_do_not_divide_the_largest_concept_gives_one_up_and_never_its_anchor():
    held = ASet(["es en", "it fr en pt ca"])
    plan = held.plan(rows=5, processes=2)
    for epoch in range(8):
        small, large = sorted(batches(plan, epoch), key=min)
        assert small == [1, 0]
        assert large[0] == 4
        assert len(large) == 2
    taken = [row for epoch in range(4) for batch in batches(plan, epoch) for row in batch]
    assert Counter(taken) == {0: 4, 1: 4, 4: 4, 2: 1, 3: 1, 5: 1, 6: 1}


def test_a_step_of_five_rows_on_two_processes_leaves_one_translation_for_the_next_epoch():
    held = ASet(["en es fr pt it"])
    plan = held.plan(Batching(align="step"), rows=3, processes=2)
    for epoch in range(4):
        assert [len(batch) for batch in batches(plan, epoch)] == [2, 2]
    taken = Counter(row for epoch in range(4) for batch in batches(plan, epoch) for row in batch)
    assert taken == {0: 4, 1: 3, 2: 3, 3: 3, 4: 3}


def test_a_concept_larger_than_a_step_is_cut_to_it_and_one_that_nearly_fits_is_not_thrown_away():
    """13 rows for steps of exactly 16: two concepts share one, rather than that none is had."""
    held = of_sizes([13] * 10)
    plan = held.plan(Batching(align="step"), rows=1, processes=8, accumulation=2)
    assert plan.steps == 5
    assert {number for batch in batches(plan) for number in held.concepts_in(batch)} == set(range(10))


def test_five_concepts_of_thirteen_fill_a_step_of_sixty_four_but_for_one_row():
    plan = of_sizes([13] * 50).plan(Batching(align="step"), rows=8, processes=8)
    assert (plan.steps, plan.taken) == (10, 640)
    whole = of_sizes([13] * 50).plan(Batching(align="step"), rows=17, processes=2)
    assert (whole.steps, whole.taken) == (25, 650)  # 26 of 34 places: no concept is cut to fill the others


def test_other_kinds_of_batch_spelled_out():
    held = ASet(["en es", "en fr", "en es", "fr es"])

    def made(**batching):
        return sorted(sorted(batch) for batch in batches(held.plan(Batching(**batching), rows=3)))

    assert made(kind="anchor-only") == [[0, 2, 4]]
    assert made(kind="monolingual") == [[0, 2, 4], [1, 5], [3]]  # the last concept has no anchor
    assert made(kind="monolingual", with_anchor=False) == [[1, 5, 7], [3, 6]]
    assert [len(batch) for batch in made(kind="shuffled")] == [3, 3]
    assert made(group_size=2) == [[0, 1], [2, 3], [4, 5]]
    assert sorted(row for batch in made(with_anchor=False) for row in batch) == [1, 3, 5, 6, 7]


@examples(75)
@given(plans())
def test_all_processes_have_the_same_number_of_rows_in_every_micro_batch(made):
    _, plan, asked = made
    dealt = batches(plan)
    assert 1 <= min(map(len, dealt)) <= max(map(len, dealt)) <= asked["rows"]
    assert len(dealt) % (asked["processes"] * (asked["accumulation"] if plan.by_step else 1)) == 0
    for first in range(0, len(dealt), asked["processes"]):
        assert len({len(batch) for batch in dealt[first : first + asked["processes"]]}) == 1


@examples(75)
@given(plans(kinds=("aligned",)))
def test_all_that_is_taken_of_a_concept_stands_in_one_batch_or_one_step(made):
    held, plan, asked = made
    unit = asked["processes"] * asked["accumulation"] if plan.by_step else 1
    places, taken = defaultdict(set), defaultdict(list)
    for number, batch in enumerate(batches(plan, 3)):
        for row in batch:
            concept, tag = held.rows[row]
            places[concept].add(number // unit)
            taken[concept].append(tag)
    assert all(len(where) == 1 for where in places.values())
    most = min(plan.batching.group_size or 99, asked["rows"] * unit)
    for concept, tags in taken.items():
        assert len(tags) == len(set(tags)) <= most
        if plan.batching.with_anchor:
            assert "en" in tags
            assert len(tags) >= 2 or held.size[concept] == 1  # an anchor never comes alone for want of room
        else:
            assert "en" not in tags


@examples(60)
@given(plans())
def test_no_row_comes_twice_in_an_epoch_and_every_epoch_has_the_same_numbers(made):
    _, plan, asked = made
    for epoch in (0, 1, 7):
        dealt = batches(plan, epoch)
        rows = [row for batch in dealt for row in batch]
        assert len(rows) == len(set(rows)) == plan.taken
        assert len(dealt) == len(plan) == len(BatchSampler(plan))
        assert plan.steps == -(-len(dealt) // (asked["processes"] * asked["accumulation"]))


# --- what is left out


@examples(50)
@given(plans(kinds=("shuffled", "monolingual", "anchor-only")))
def test_of_rows_that_need_no_company_fewer_than_the_processes_are_left_out(made):
    held, plan, asked = made
    chosen = [tag for _, tag in held.rows if plan.batching.with_anchor or tag != "en"]
    if plan.batching.kind == "anchor-only":
        chosen = [tag for _, tag in held.rows if tag == "en"]
    pools = Counter(chosen).values() if plan.batching.kind == "monolingual" else [len(chosen)]
    assert plan.taken == sum(pool - pool % asked["processes"] for pool in pools)


@examples(100)
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=60)
    | st.lists(st.integers(2, 3), min_size=1, max_size=60),
    st.integers(2, 64),
    st.integers(1, 9),
    st.booleans(),
)
def test_fewer_concepts_than_processes_are_left_out_and_rows_of_two_for_each_process(
    sizes, rows, processes, with_anchor
):
    held = of_sizes(sizes)
    assume(len(sizes) >= processes)
    plan = held.plan(Batching(with_anchor=with_anchor), rows=rows, processes=processes)
    dealt = batches(plan)
    came = {concept for batch in dealt for concept in held.concepts_in(batch)}
    assert len(sizes) - len(came) < processes
    sizes = [min(size if with_anchor else size - 1, rows) for size in sizes]
    given_up = sum(sizes) - plan.taken
    assert given_up <= 2 * processes * max(sizes) if processes > 1 else given_up == 0


@examples(60)
@given(
    st.lists(st.integers(3, 40), min_size=1, max_size=60)
    | st.tuples(st.integers(3, 40), st.integers(1, 60)).map(lambda both: [both[0]] * both[1]),
    st.integers(1, 64),
    st.integers(1, 9),
    st.integers(1, 5),
)
def test_a_step_leaves_no_concept_out_and_gives_up_few_rows(sizes, rows, processes, accumulation):
    """Where two concepts fit, and there are two steps of them: in one short step alone, or in steps of one
    row a device, there can be more concepts than can be had with two rows each.

    A step's rows are a multiple of the processes. One of as many whole concepts as fit gives up fewer rows
    than processes; a full one may give up more, as many as are gained by filling it, 20 to 1.
    """
    held, slots, largest = of_sizes(sizes), processes * accumulation, max(sizes)
    assume(rows * slots >= 2 * largest + processes)
    assume(sum(sizes) >= slots)
    plan = held.plan(Batching(align="step"), rows=rows, processes=processes, accumulation=accumulation)
    left_out = len(sizes) - len({concept for batch in batches(plan) for concept in held.concepts_in(batch)})
    assert left_out < slots
    if rows > 1 and sum(sizes) >= 2 * rows * slots:
        assert left_out == 0
    share = (processes - 1 + 0.05 * (largest + processes - 1)) / (rows * slots - largest)
    assert sum(sizes) - plan.taken <= share * sum(sizes) + 2 * (slots + largest)


@cache
def ways(room, sizes):
    """For every subset of the groups (as bits) the most of them that units can hold: all ways are tried."""
    subsets = range(1, 1 << len(sizes))
    members = {subset: [s for at, s in enumerate(sizes) if subset >> at & 1] for subset in subsets}
    units = set()
    for goal in range(room.least, room.capacity + 1):
        if goal % room.multiple:
            continue
        least = {n: sum(min(size, room.keep) for size in members[n]) for n in subsets}
        bins = [n for n in subsets if least[n] <= goal <= sum(members[n])]
        found = {0}
        for _ in range(room.together):
            found = {one | more for one in found for more in bins if not one & more}
        units |= found
    best = [0] * (1 << len(sizes))
    for subset in subsets:
        for unit in units:
            if unit and unit & subset == unit:
                best[subset] = max(best[subset], unit.bit_count() + best[subset ^ unit])
    return best[-1]


def test_hardly_a_concept_is_left_out_that_any_way_of_dealing_would_have_had():
    """On a thousand tiny sets, against all ways to deal them; never by as much as there are processes."""
    draw = np.random.default_rng(0)
    possible, placed = 0, 0
    for number in range(1000):
        processes, accumulation, rows = (int(n) for n in draw.integers(1, (4, 4, 8)))
        room = Room(max(rows, 2), together=processes, keep=2)
        if number % 2:
            slots = processes * accumulation
            room = Room(max(rows, 2) * slots, multiple=processes, least=slots, keep=2)
        sizes = np.minimum(draw.integers(2, draw.integers(3, 9), draw.integers(1, 8)), room.capacity)
        shapes = unit_shapes(Counter(sizes.tolist()), room)
        had = sum(len(places) * repeats for bins, repeats in shapes for places in bins)
        best = ways(room, tuple(sorted(sizes.tolist())))
        assert had <= best
        possible, placed = possible + best, placed + had
    assert placed >= 0.99 * possible


# --- what an epoch changes


@examples(40)
@given(plans())
def test_the_same_seed_and_epoch_give_the_same_batches_whatever_else_was_asked(made):
    held, plan, asked = made
    begun = plan.epoch(5)
    next(begun)
    first = batches(plan, 2)
    assert batches(held.plan(plan.batching, **asked), 2) == first == batches(plan, 2)
    rest = [rows.tolist() for rows in begun]
    assert rest == batches(plan, 5)[1:]


@pytest.mark.parametrize("kind", ["aligned", "shuffled", "monolingual", "anchor-only"])
@pytest.mark.parametrize("align", ["device", "step"])
def test_other_seeds_and_epochs_give_other_batches(kind, align):
    held = of_sizes([6] * 40)
    seen, company = set(), set()
    for seed, epoch in itertools.product((0, 1, 2**40), range(4)):
        dealt = batches(held.plan(Batching(kind=kind, align=align), rows=12, seed=seed), epoch)
        seen.add(str(dealt))
        company.add(str(sorted(sorted(batch) for batch in dealt)))
    assert len(seen) == len(company) == 12


def test_other_concepts_are_left_out_and_cut_in_other_epochs():
    held = ASet(["en es"] * 7)
    plan = held.plan(rows=2, processes=4)
    left = set()
    for epoch in range(20):
        came = {concept for batch in batches(plan, epoch) for concept in held.concepts_in(batch)}
        left |= set(range(7)) - came
    assert left == set(range(7))


# --- languages take turns


@examples(50)
@given(
    others=st.integers(1, 15),
    fit=st.integers(1, 15),
    seed=st.integers(0, 2**40),
    first=st.integers(0, 50),
    by_rows=st.booleans(),
    with_anchor=st.booleans(),
)
def test_every_language_of_a_concept_is_taken_equally_often(others, fit, seed, first, by_rows, with_anchor):
    assume(fit <= others)
    held = of_sizes([others + 1] * 4)
    group = fit + with_anchor
    batching = Batching(group_size=None if by_rows else max(2, group), with_anchor=with_anchor)
    assume(by_rows or group >= 2)
    plan = held.plan(batching, rows=group if by_rows else 2 * group, seed=seed)
    rounds = others // math.gcd(others, fit)
    times, once = Counter(), Counter()
    for epoch in range(first, first + rounds):
        for batch in batches(plan, epoch):
            times.update(batch)
            if epoch < first + math.ceil(others / fit):
                once.update(batch)
    expected = {
        row: rounds if tag == "en" else rounds * fit // others
        for row, (_, tag) in enumerate(held.rows)
        if tag != "en" or with_anchor
    }
    assert times == expected
    assert once.keys() == expected.keys()  # and none waits longer than it must
    assert plan.chooses == (fit < others)


def test_languages_are_mixed_in_an_epoch_and_keep_changing_company():
    """200 concepts of six languages, two at a time with English: each language of each epoch is had about
    200 * 2 / 5 = 80 times, and most pairs of languages meet in the same concept sooner or later."""
    held = ASet(["en es fr pt it ca"] * 200)
    plan = held.plan(Batching(group_size=3), rows=12)
    pairs = set()
    for epoch in range(5):
        taken = [held.rows[row][1] for batch in batches(plan, epoch) for row in batch]
        assert taken.count("en") == 200
        assert all(60 <= taken.count(tag) <= 100 for tag in ("es", "fr", "pt", "it", "ca"))
        for batch in batches(plan, epoch):
            for first in range(0, 12, 3):
                pairs.add(tuple(held.rows[row][1] for row in batch[first + 1 : first + 3]))
    assert len(pairs) == 10


def test_with_weights_languages_are_drawn_in_their_proportion():
    held = ASet(["en es fr pt it"] * 3000)
    weights = {"es": 1.0, "fr": 2.0, "pt": 5.0, "it": 0.0, "en": 9.0}
    plan = held.plan(Batching(group_size=2, weights=weights), rows=8)
    taken = Counter(held.rows[row][1] for batch in batches(plan, 4) for row in batch)
    assert taken["en"] == 3000
    assert taken["it"] == 0
    for tag, share in (("es", 1 / 8), ("fr", 2 / 8), ("pt", 5 / 8)):
        deviation = math.sqrt(3000 * share * (1 - share))
        assert abs(taken[tag] - 3000 * share) < 4 * deviation
    assert batches(plan, 4) != batches(plan, 5)


def test_a_language_of_no_weight_comes_only_where_nothing_else_is_left():
    held = ASet(["en es fr pt it"] * 3000)
    plan = held.plan(Batching(group_size=4, weights={"es": 1e-9, "fr": 1e9}), rows=8)
    taken = Counter(held.rows[row][1] for batch in batches(plan) for row in batch)
    assert taken["es"] == taken["fr"] == 3000
    assert 1300 < taken["pt"] < 1700  # pt and it have none, so chance decides
    assert taken["pt"] + taken["it"] == 3000


# --- length


def padding(held, lengths, dealt):
    width = sum(len(batch) * max(lengths[row] for row in batch) for batch in dealt)
    return 1 - sum(lengths[row] for batch in dealt for row in batch) / width


def lognormal_lengths(concepts, languages):
    draw = np.random.default_rng(1)
    text = draw.lognormal(5, 0.7, concepts)[:, None] * draw.lognormal(0, 0.15, (concepts, languages))
    return text.ravel().astype(int) + 1


@pytest.mark.parametrize("processes", [1, 4])
def test_concepts_of_like_length_share_a_batch_which_saves_most_of_the_padding(processes):
    lengths = lognormal_lengths(400, 5)
    held = ASet(["en es fr pt it"] * 400, lengths=lengths)
    sorted_, unsorted = (
        held.plan(Batching(by_length=by_length), rows=20, processes=processes) for by_length in (True, False)
    )
    assert padding(held, lengths, batches(unsorted)) > 0.4
    assert padding(held, lengths, batches(sorted_)) < 0.8 * padding(held, lengths, batches(unsorted))
    companies = [
        {pair for b in batches(sorted_, e) for pair in itertools.combinations(sorted(held.concepts_in(b)), 2)}
        for e in (0, 1)
    ]
    assert len(companies[0]) == 400 * 3 / 2
    assert len(companies[0] & companies[1]) < 0.3 * len(companies[0])


def test_long_and_short_batches_come_in_no_order():
    lengths = lognormal_lengths(400, 5)
    plan = ASet(["en es fr pt it"] * 400, lengths=lengths).plan(rows=20)
    means = [np.mean([lengths[row] for row in batch]) for batch in batches(plan)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


# --- budgets


@examples(40)
@given(plans(), st.integers(0, 10**6))
def test_steps_within_a_budget_never_exceed_it_and_one_more_would(made, budget):
    held, plan, asked = made
    spent, step = [], asked["processes"] * asked["accumulation"]
    for epoch in itertools.count():
        dealt = batches(plan, epoch)
        for first in range(0, len(dealt), step):
            spent.append(sum(int(held.tokens[row]) for b in dealt[first : first + step] for row in b))
        if len(spent) > 4 * plan.steps or sum(spent) > budget:
            break
    budget = min(budget, sum(spent) - 1)
    steps = plan.steps_within(budget)
    assert steps >= 1
    assert sum(spent[:steps]) <= budget or steps == 1
    assert sum(spent[: steps + 1]) > budget
    assert plan.tokens_within(steps) == sum(spent[:steps])


def test_a_budget_of_just_so_many_tokens_is_used_up():
    plan = ASet(["en es"] * 6, lengths=[3, 4] * 6).plan(rows=4)
    assert plan.steps == 3
    assert [plan.tokens_within(steps) for steps in (1, 3, 4)] == [28, 84, 112]
    assert [plan.steps_within(tokens) for tokens in (1, 28, 55, 56, 84, 111, 112)] == [1, 1, 1, 2, 3, 3, 4]


# --- dealt to processes


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize("align", ["device", "step"])
@pytest.mark.parametrize("sizes", [[5] * 23, [2, 7, 3, 5, 4] * 9, [4] * 4])
def test_accelerate_deals_each_process_its_own_batches_and_goes_on_in_mid_epoch(processes, align, sizes):
    pytest.importorskip("accelerate")
    from accelerate.data_loader import BatchSamplerShard, skip_first_batches
    from torch.utils.data import DataLoader

    held = of_sizes(sizes)
    plan = held.plan(Batching(align=align), rows=7, processes=processes, accumulation=2, seed=3)
    of_process = []
    for process in range(processes):
        sampler = BatchSampler(plan)
        sampler.set_epoch(2)
        shard = BatchSamplerShard(sampler, processes, process, even_batches=True)
        loader = DataLoader(range(len(held.rows)), batch_sampler=shard, collate_fn=list)
        whole = list(loader)
        assert len(whole) == len(loader)
        of_process.append(whole)
        for done in (0, 1, len(whole) - 1):
            assert list(skip_first_batches(loader, done)) == whole[done:]
    dealt = batches(plan, 2)
    assert [list(micro) for micro in zip(*of_process, strict=True)] == [
        dealt[first : first + processes] for first in range(0, len(dealt), processes)
    ]
    assert sum(map(len, of_process)) == len(plan)  # nothing is wrapped round at the end


def test_two_processes_with_a_concept_each_train_on_what_one_does_with_two():
    """The same steps, whatever they are dealt to: spread over a step, the processes change nothing."""
    held = of_sizes([4] * 20)
    one, two = (batches(held.plan(Batching(align="step"), rows=8 // n, processes=n)) for n in (1, 2))
    assert one == [two[at] + two[at + 1] for at in range(0, len(two), 2)]


# --- the index


@examples(50)
@given(st.data())
def test_parts_cut_anywhere_give_the_same_index(data):
    """Also where a concept's rows straddle two parts or more, and where a part is empty."""
    concepts = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    tags = [data.draw(st.permutations(TAGS[:size])) for size in concepts]
    count = sum(concepts)
    lengths = data.draw(st.lists(st.integers(1, 99), min_size=count, max_size=count))
    held = ASet(tags, lengths=lengths, part=count)
    ((ids, languages, long, tokens),) = held.parts
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=8)))
    parts = [
        (ids[a:b], languages[a:b], long[a:b], tokens[a:b]) for a, b in itertools.pairwise([0, *cuts, count])
    ]
    groups, whole = index(parts, anchor="en"), held.groups
    for column in ("rows", "starts", "lengths", "tokens"):
        assert getattr(groups, column).tolist() == getattr(whole, column).tolist()
    assert [groups.names[code] for code in groups.languages] == [
        whole.names[code] for code in whole.languages
    ]
    begins = np.cumsum([0, *concepts])
    for number, (begin, end) in enumerate(itertools.pairwise(begins)):
        rows = groups.rows[begin:end].tolist()
        others = [row for row in range(begin, end) if held.rows[row][1] != "en"]
        assert rows == [begin + tags[number].index("en"), *others]
        assert [groups.names[code] for code in groups.languages[begin:end]] == [
            held.rows[row][1] for row in rows
        ]
        assert groups.lengths[begin:end].tolist() == [lengths[row] for row in rows]
        assert groups.tokens[begin:end].tolist() == [2 * lengths[row] for row in rows]


def indexed(ids, tags, part=2):
    ids, tags = pl.Series(ids, dtype=pl.String), pl.Series(tags, dtype=pl.String)
    parts = [
        (
            ids[at : at + part],
            tags[at : at + part],
            np.ones(part, int)[: len(ids) - at],
            np.ones(part, int)[: len(ids) - at],
        )
        for at in range(0, len(ids), part)
    ]
    return index(parts, anchor="en", where="the training rows")


def test_a_torn_concept_is_refused_with_the_row_where_it_goes_on():
    with pytest.raises(
        InputError, match=r"the training rows: .* don't stand together: that of row 3 .* sort it"
    ):
        indexed(["a", "a", "b", "a"], ["en", "es", "en", "fr"])


def test_a_language_that_a_concept_has_twice_is_refused_by_name_and_row():
    with pytest.raises(InputError, match="the training rows: the concept at row 2 has two rows in es"):
        indexed(["a", "a", "b", "b", "b"], ["en", "es", "en", "es", "es"])


@pytest.mark.parametrize(
    ("ids", "tags"), [(["a", "a", None], ["en", "es", "fr"]), (["a"] * 3, ["en", "es", None])]
)
def test_a_row_without_a_concept_or_language_is_refused_by_its_number(ids, tags):
    with pytest.raises(InputError, match="the training rows: row 2 has no concept_id or no language"):
        indexed(ids, tags)


@pytest.mark.parametrize("parts", [[], [(pl.Series([], dtype=pl.String),) * 2 + (np.zeros(0, int),) * 2]])
def test_a_dataset_without_rows_is_refused(parts):
    with pytest.raises(InputError, match="the training rows has no rows"):
        index(parts, anchor="en", where="the training rows")


def test_a_set_without_the_anchor_is_refused_with_the_languages_that_are_there():
    with pytest.raises(InputError, match="no row is in the anchor language en; there are es fr"):
        ASet(["es fr", "es"]).plan(rows=4)


def test_concepts_that_lack_the_anchor_are_left_out_and_counted():
    held = ASet(["en es", "fr es", "en fr"])
    plan = held.plan(rows=4)
    assert plan.without_anchor == 1
    assert sorted(row for batch in batches(plan) for row in batch) == [0, 1, 4, 5]


def test_any_language_can_be_the_anchor():
    held = ASet(["en es fr", "fr en es", "en fr"], anchor="fr")
    plan = held.plan(Batching(anchor="fr", group_size=2), rows=2)
    assert {batch[0] for epoch in range(2) for batch in batches(plan, epoch)} == {2, 3, 7}


# --- what can't be done


@pytest.mark.parametrize(
    ("sizes", "batching", "asked", "says"),
    [
        ([2, 2], Batching(), {"rows": 1}, r"the anchor and another.*raise per_device.*--align step"),
        (
            [2, 2],
            Batching(align="step"),
            {"rows": 1},
            r"the anchor and another language: raise per_device\w+$",
        ),
        ([2, 2], Batching(), {"rows": 0}, "per_device_train_batch_size and .* are at least 1"),
        ([2, 2], Batching(), {"rows": 2, "accumulation": 0}, "gradient_accumulation_steps are at least 1"),
        ([3, 3], Batching(group_size=1), {"rows": 4}, "--group-size is at least 2, the anchor and another"),
        ([3, 3], Batching(group_size=0, with_anchor=False), {"rows": 4}, "--group-size is at least 1$"),
        (
            [5, 5],
            Batching(),
            {"rows": 8, "processes": 3},
            r"2 concepts \(10 rows\).* 3 processes.*use fewer proc",
        ),
        (
            [5],
            Batching(align="step"),
            {"rows": 8, "processes": 2, "accumulation": 3},
            "3 accumulation.*fewer",
        ),
        ([2] * 9, Batching(align="step"), {"rows": 1, "processes": 3}, "at most 1 rows.*raise per_device"),
        ([1], Batching(kind="anchor-only"), {"rows": 8, "processes": 2}, "2 processes.*use fewer"),
        ([1, 1], Batching(with_anchor=False), {"rows": 8}, "no row but the anchor's, and --no-anchor"),
    ],
)
def test_what_can_not_be_done_is_refused_with_what_to_change(sizes, batching, asked, says):
    with pytest.raises(InputError, match=says):
        of_sizes(sizes).plan(batching, **asked)


@examples(100)
@given(
    SIZES,
    st.sampled_from(["aligned", "shuffled", "monolingual", "anchor-only"]),
    st.sampled_from(["device", "step"]),
    st.booleans(),
    st.none() | st.integers(0, 41),
    st.integers(0, 64),
    st.integers(1, 9),
    st.integers(0, 5),
)
def test_any_ask_gives_batches_or_says_why_not(sizes, kind, align, anchored, group, rows, processes, steps):
    batching = Batching(kind=kind, align=align, with_anchor=anchored, group_size=group)
    try:
        plan = of_sizes(sizes).plan(batching, rows=rows, processes=processes, accumulation=steps)
    except InputError:
        enough = len(sizes) >= processes and min(sizes) >= 2 and (group or 2) >= 2 and steps and rows >= 2
        assert not (enough and kind == "aligned" and align == "device")
        return
    assert batches(plan)
    assert plan.steps > 0


def test_planning_takes_no_time_to_speak_of_however_large_a_step():
    """64 processes of 8 rows in 8 steps: 4096 places; and a set that fits none of them."""
    counts = {size: 1000 + 37 * size for size in range(2, 41)}
    began = time.process_time()
    unit_shapes(counts, Room(4096, multiple=64, least=512, keep=2))
    unit_shapes(counts, Room(64, together=64, keep=2))
    assert unit_shapes({2: 10**6}, Room(3, multiple=3, least=3, keep=2)) == []
    assert time.process_time() - began < 10
