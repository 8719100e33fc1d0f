"""The random numbers: the published ones, and the distribution of what is drawn with them."""

import torch

from plugtron.contracts import Candidates
from plugtron.kernels.philox import gumbel, philox
from plugtron_controllers.sampling import draw


def run(counter, key):
    words = philox(tuple(torch.tensor([word]) for word in counter), tuple(torch.tensor([word]) for word in key))
    return [word.item() for word in words]


def test_known_answers():
    """From kat_vectors of the Random123 library, the authors' own."""
    ones = 0xFFFFFFFF
    assert run((0, 0, 0, 0), (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert run((ones, ones, ones, ones), (ones, ones)) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    counter = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert run(counter, (0xA4093822, 0x299F31D0)) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_noise_depends_on_seed_position_and_id_alone():
    seeds, positions = torch.tensor([5, 2**62]), torch.tensor([0, 77])
    whole = gumbel(seeds, positions, 1001)
    ids = torch.randperm(1001)[:50].expand(2, -1)
    assert torch.equal(gumbel(seeds, positions, 50, ids), whole.gather(1, ids))
    assert torch.equal(gumbel(seeds[1:], positions[1:], 1001)[0], whole[1])
    assert torch.isfinite(whole).all()


def test_draws_pass_a_chi_square_against_the_softmax():
    logits = torch.tensor([2.0, 1.5, 1.0, 0.0, -0.5, -1.0, float("-inf"), 0.5])
    count = 4000
    candidates = Candidates(
        logits=logits.expand(count, -1),
        ids=None,
        slots=torch.zeros(count, dtype=torch.int64),
        positions=torch.arange(count),
        slot_ids=(0,) * count,
    )
    seeds, greedy = torch.full((count,), 12345), torch.zeros(count, dtype=torch.bool)
    drawn = draw(candidates, seeds, greedy)
    expected = logits.softmax(0) * count
    found = torch.bincount(drawn, minlength=8).float()
    assert found[6] == 0
    possible = expected > 0
    chi_square = ((found - expected)[possible] ** 2 / expected[possible]).sum().item()
    assert chi_square < 22.46  # 6 degrees of freedom, one in a thousand
