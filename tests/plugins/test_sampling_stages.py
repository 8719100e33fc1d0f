"""Each stage beside an implementation of somebody else's, or its definition in float64."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from plugtron.contracts import Candidates, Tokenizer
from plugtron.testing.requests import candidates_of, sequence_of
from plugtron_samplers.bad_words import BadWords
from plugtron_samplers.dry import Dry
from plugtron_samplers.dynamic_temperature import DynamicTemperature
from plugtron_samplers.encoder_penalty import EncoderPenalty
from plugtron_samplers.epsilon_cutoff import EpsilonCutoff
from plugtron_samplers.eta_cutoff import EtaCutoff
from plugtron_samplers.no_repeat_ngram import NoRepeatNgram
from plugtron_samplers.temperature import Temperature
from plugtron_samplers.top_n_sigma import TopNSigma
from plugtron_samplers.typical_p import TypicalP

CPU = torch.device("cpu")
NO = -math.inf
#: Within this of a bound, rounding decides.
CLOSE = 1e-4


class Texts(Tokenizer):
    """A tokenizer that has nothing but texts; the last id is special."""

    bos_id, eos_ids, chat_template = None, (), None

    def __init__(self, texts):
        self.texts = [text if isinstance(text, bytes) else text.encode() for text in texts]
        self.vocab_size = len(texts)

    def encode(self, text, *, add_special=True):
        raise NotImplementedError

    def token_bytes(self, token):
        return self.texts[token]

    def is_special(self, token):
        return token == self.vocab_size - 1


logits_lists = st.lists(
    st.floats(-30, 30, width=32) | st.sampled_from([0.0, 1.0, -1.0, NO]), min_size=2, max_size=24
).filter(lambda row: any(value > NO for value in row))


def applied(stage, params, logits, tokens=(), prompt=(1,)):
    """What a row becomes beside one that does not use the stage, which must come through."""
    rows = torch.tensor([logits, logits], dtype=torch.float32)
    stage.add(1, sequence_of(params, slot=1, prompt=prompt, tokens=tokens))
    found = stage.apply(candidates_of(rows, (0, 1))).logits
    assert torch.equal(found[0], rows[0])
    return found[1].tolist()


def kept(row):
    return {column for column, value in enumerate(row) if value > NO}


def probabilities(logits):
    return torch.tensor(logits, dtype=torch.float64).softmax(0)


def agrees(found, expected, logits, near):
    """The same are kept, apart from those that `near` says lie on the bound."""
    assert kept(found) <= kept(logits)
    assert all(found[column] == pytest.approx(logits[column]) for column in kept(found))
    assert all(near(column) for column in kept(found) ^ kept(expected))


@given(logits_lists, st.floats(1e-4, 0.9))
def test_epsilon_cutoff_is_transformers(logits, epsilon):
    found = applied(EpsilonCutoff(CPU), {"epsilon_cutoff": epsilon}, logits)
    expected = theirs.EpsilonLogitsWarper(epsilon)(None, torch.tensor([logits]))[0].tolist()
    exact = probabilities(logits)
    agrees(found, expected, logits, lambda column: abs(exact[column] - epsilon) < CLOSE)


@given(logits_lists, st.floats(1e-4, 0.9))
def test_eta_cutoff_is_transformers(logits, eta):
    found = applied(EtaCutoff(CPU), {"eta_cutoff": eta}, logits)
    expected = theirs.EtaLogitsWarper(eta)(None, torch.tensor([logits]))[0].tolist()
    exact = probabilities(logits)
    entropy = -sum(p * math.log(p) for p in exact.tolist() if p > 0)
    bound = min(eta, math.sqrt(eta) * math.exp(-entropy))
    agrees(found, expected, logits, lambda column: abs(exact[column] - bound) < CLOSE)


@given(logits_lists, st.floats(1e-3, 0.999))
def test_typical_p_is_transformers(logits, mass):
    found = applied(TypicalP(CPU), {"typical_p": mass}, logits)
    expected = theirs.TypicalLogitsWarper(mass)(None, torch.tensor([logits]))[0].tolist()
    exact = probabilities(logits)
    entropy = -sum(p * math.log(p) for p in exact.tolist() if p > 0)
    distances = [abs(-math.log(p) - entropy) if p > 0 else math.inf for p in exact.tolist()]

    def near(column):
        """Its sum is close to the mass, or others are about as near to the entropy."""
        before = sum(p for p, other in zip(exact.tolist(), distances, strict=True) if other < distances[column])
        close = [other for other in distances if abs(other - distances[column]) < CLOSE]
        return len(close) > 1 or abs(before - mass) < CLOSE or abs(before + exact[column].item() - mass) < CLOSE

    agrees(found, expected, logits, near)


@given(logits_lists, st.floats(0.01, 5))
def test_top_n_sigma_is_its_definition(logits, sigmas):
    found = applied(TopNSigma(CPU), {"top_n_sigma": sigmas}, logits)
    there = torch.tensor([value for value in logits if value > NO], dtype=torch.float64)
    bound = there.max().item() - sigmas * there.std(correction=0).item()
    expected = [value if value >= bound else NO for value in logits]
    agrees(found, expected, logits, lambda column: abs(logits[column] - bound) < CLOSE)


@given(logits_lists, st.floats(0.1, 3), st.floats(0, 4), st.floats(0.2, 4))
def test_dynamic_temperature_is_its_definition(logits, temperature, spread, exponent):
    params = {"temperature": temperature, "dynatemp_range": spread, "dynatemp_exponent": exponent}
    given_ = candidates_of(torch.tensor([logits]), [0])
    for stage in (DynamicTemperature(CPU), Temperature(CPU)):
        if stage.uses(sequence_of(params).request.params):
            stage.add(0, sequence_of(params))
            given_ = stage.apply(given_)
    exact = [p for p, value in zip(probabilities(logits).tolist(), logits, strict=True) if value > NO]
    entropy = -sum(p * math.log(p) for p in exact if p > 0)
    lowest = max(0.0, temperature - spread)

    def chosen(entropy):
        share = (max(entropy, 0.0) / math.log(len(exact))) ** exponent if len(exact) > 1 else 0.0
        return max(lowest + (temperature + spread - lowest) * share, 1e-6)

    # The entropy of what is all but certain is small beside what float32 rounds off.
    least, most = 0.99 * chosen(entropy - 1e-6), 1.01 * chosen(entropy + 1e-6)
    for value, found in zip(logits, given_.logits[0].tolist(), strict=True):
        if value in (NO, 0.0):
            assert found == value
        else:  # the least that float32 has may have become 0
            assert least * abs(found) - 1e-37 <= abs(value) <= most * abs(found) + 1e-37
            assert value * found >= 0


tokens_lists = st.lists(st.integers(0, 4), min_size=1, max_size=30)
FLAT = [0.0, 1.0, 2.0, 3.0, 4.0]


@given(tokens_lists, tokens_lists, st.integers(1, 5))
def test_no_repeat_ngram_is_transformers_also_after_every_drawn_token(prompt, answer, size):
    stage, learning = NoRepeatNgram(5, CPU), NoRepeatNgram(5, CPU)
    learning.add(0, sequence_of({"no_repeat_ngram_size": size}, prompt=prompt))
    for token in answer:
        learning.accept((0,), torch.tensor([token]))
    history = prompt + answer
    expected = theirs.NoRepeatNGramLogitsProcessor(size)(torch.tensor([history]), torch.tensor([FLAT]))[0].tolist()
    params = {"no_repeat_ngram_size": size}
    assert applied(stage, params, FLAT, tokens=answer, prompt=prompt) == expected
    assert learning.apply(candidates_of(torch.tensor([FLAT]), (0,))).logits[0].tolist() == expected


@given(tokens_lists, tokens_lists, st.integers(1, 5), st.integers(0, 5))
def test_encoder_no_repeat_ngram_is_transformers(prompt, answer, size, both):
    params = {"encoder_no_repeat_ngram_size": size, "no_repeat_ngram_size": both}
    stage = NoRepeatNgram(5, CPU)
    stage.add(0, sequence_of(params, prompt=prompt))
    for token in answer:
        stage.accept((0,), torch.tensor([token]))
    history = torch.tensor([prompt + answer])
    expected = theirs.EncoderNoRepeatNGramLogitsProcessor(size, torch.tensor([prompt]))(history, torch.tensor([FLAT]))
    if both:
        expected = theirs.NoRepeatNGramLogitsProcessor(both)(history, expected)
    assert applied(NoRepeatNgram(5, CPU), params, FLAT, tokens=answer, prompt=prompt) == expected[0].tolist()
    assert torch.equal(stage.apply(candidates_of(torch.tensor([FLAT]), (0,))).logits, expected)


@given(logits_lists, st.lists(st.integers(0, 1), min_size=1), st.floats(0.01, 100).filter(lambda value: value != 1))
def test_encoder_repetition_penalty_is_transformers(logits, prompt, penalty):
    found = applied(EncoderPenalty(CPU), {"encoder_repetition_penalty": penalty}, logits, prompt=prompt)
    processor = theirs.EncoderRepetitionPenaltyLogitsProcessor(penalty, torch.tensor([prompt]))
    assert found == pytest.approx(processor(None, torch.tensor([logits]))[0].tolist())


def dry(history, breakers, multiplier, base, allowed, reach):
    """What each token loses, by the definition."""
    window = history[-reach:] if reach > 0 else history
    lost = Counter()
    for place in range(len(window)):
        same = 0
        while same < place and window[place - 1 - same] == window[-1 - same] and window[-1 - same] not in breakers:
            same += 1
        if same >= allowed and window[place] not in breakers:
            lost[window[place]] = max(lost[window[place]], multiplier * base ** (same - allowed))
    return lost


@given(tokens_lists, tokens_lists, st.floats(0.1, 3), st.floats(1, 2), st.integers(1, 4), st.integers(-1, 20))
def test_dry_is_its_definition_also_after_every_drawn_token(prompt, answer, multiplier, base, allowed, reach):
    tokenizer = Texts(["a", "b", "c", "x\n", "d"])
    params = {"dry_multiplier": multiplier, "dry_base": base, "dry_allowed_length": allowed, "dry_range": reach}
    learning = Dry(tokenizer, 5, CPU)
    learning.add(0, sequence_of(params, prompt=prompt))
    for token in answer:
        learning.accept((0,), torch.tensor([token]))
    lost = dry(prompt + answer, {3}, multiplier, base, allowed, reach)
    expected = pytest.approx([value - lost[token] for token, value in enumerate(FLAT)], rel=1e-4, abs=1e-4)
    assert applied(Dry(tokenizer, 5, CPU), params, FLAT, tokens=answer, prompt=prompt) == expected
    assert learning.apply(candidates_of(torch.tensor([FLAT]), (0,))).logits[0].tolist() == expected


ALPHABET = ["a", "b", "ab", "ba", "aab", "ä", "ä".encode()[:1], "ä".encode()[1:], " a", "c", "<s>"]


@given(
    st.lists(st.integers(0, len(ALPHABET) - 1), max_size=8),
    st.lists(st.text("abcä s<>", min_size=1, max_size=5), min_size=1, max_size=4),
    st.booleans(),
)
def test_bad_words_forbid_what_would_have_one_in_the_text_and_nothing_else(answer, words, special):
    tokenizer = Texts(ALPHABET)

    def text(tokens):
        return tokenizer.decode(tokens, skip_special=not special)

    while any(word in text(answer) for word in words):
        answer = answer[:-1]
    params = {"bad_words": words, "skip_special_tokens": not special}
    found = applied(BadWords(tokenizer, len(ALPHABET), CPU), params, [0.0] * len(ALPHABET), tokens=answer)
    completing = {token for token in range(len(ALPHABET)) if any(word in text([*answer, token]) for word in words)}
    assert set(range(len(ALPHABET))) - kept(found) == completing


def test_bad_words_where_the_prompt_is_in_the_text():
    tokenizer, params = Texts(["a", "b", "c", "<s>"]), {"bad_words": ["ab"]}
    stage = BadWords(tokenizer, 4, CPU)
    assert kept(applied(stage, params, FLAT[:4], prompt=(0,))) == {0, 1, 2, 3}
    assert kept(applied(stage, params | {"echo": True}, FLAT[:4], prompt=(0,))) == {0, 2, 3}


def test_bad_words_are_more_than_transformers(small_ids=((2,), (0, 1))):
    """transformers forbids one spelling of each."""
    tokenizer, history = Texts(["a", "b", "ab", "c", "<s>"]), [3, 0]
    expected = theirs.NoBadWordsLogitsProcessor([list(ids) for ids in small_ids])(
        torch.tensor([history]), torch.tensor([FLAT])
    )[0].tolist()
    found = applied(BadWords(tokenizer, 5, CPU), {"bad_words": ["ab"]}, FLAT, tokens=history)
    assert kept(found) == kept(expected) == {0, 3, 4}


@pytest.mark.parametrize("ids", [[3, 0, 4], [0, 1, 2, 3, 4]])
def test_narrowed_candidates_with_histories(ids):
    """Where a column is not a token, ids are read."""
    logits, wanted = torch.tensor([[FLAT[token] for token in ids]]), torch.tensor([ids])
    tokenizer = Texts(["a", "b", "c", "x\n", "d"])
    cases = (
        (NoRepeatNgram(5, CPU), {"no_repeat_ngram_size": 2}),
        (Dry(tokenizer, 5, CPU), {"dry_multiplier": 1.0, "dry_allowed_length": 1}),
        (BadWords(tokenizer, 5, CPU), {"bad_words": ["ba"]}),
    )
    for stage, params in cases:
        stage.add(0, sequence_of(params, tokens=[1, 0, 2, 1]))
        whole = stage.apply(candidates_of(torch.tensor([FLAT]), (0,))).logits[0]
        some = stage.apply(candidates_of(logits, (0,), ids=wanted))
        assert isinstance(some, Candidates)
        assert some.logits[0].tolist() == [whole[token].item() for token in ids]
        assert whole[0] < FLAT[0]
