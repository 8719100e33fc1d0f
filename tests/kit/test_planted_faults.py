"""Each fault that is planted is caught by the check that is for it, in one line that says what is wrong."""

import faulty_samplers
from faults import assert_caught, found_by

SAMPLERS = {
    "right": None,
    "looks_at_other_rows": ("rows_are_independent", "row 0 of 5 becomes something else than alone"),
    "touches_every_row": ("other_rows_come_through", "row 0 does not use it, and changes"),
    "unmasks": ("masked_stays_masked", "masked candidates (-inf) become possible again"),
    "takes_columns_for_tokens": ("columns_have_ids", "read their ids"),
    "writes_back": ("repeats", "it writes into the logits it is given"),
    "counts_calls": ("repeats", "a second call gives something else"),
    "remembers": ("forgets", "a slot remembers the sequence that had it before"),
    "waits": ("does_not_wait", "a GPU's host would wait: Tensor.item"),
    "waits_for_a_mask": ("does_not_wait", "indexing with a mask"),
    "changes_the_likeliest": ("keeps_the_likeliest", "though is_argmax_invariant says never"),
    "narrows": ("shapes", "returns 9 of 277 candidates, and no ids"),
    "double_logits": ("shapes", "logits in torch.float64"),
    "returns_logits": ("shapes", "apply returns a Tensor"),
    "needs_rows": ("no_rows", ""),
    "always_used": ("parameters", "a request without parameters uses it"),
    "without_summary": ("has_a_summary", "summary is ''"),
    "not_there": ("is_offered", "has no 'Absent'"),
}


def test_every_faulty_sampler_is_here():
    assert set(faulty_samplers.NAMES) <= set(SAMPLERS)


def test_samplers(pytester):
    found = found_by(pytester, "SamplerChecks", "faulty_samplers", dict.fromkeys(SAMPLERS, "cases = ({'fault': 1.5},)"))
    assert_caught(found, SAMPLERS)
