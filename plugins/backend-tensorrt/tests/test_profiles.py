"""Which profile is for which request."""

from __future__ import annotations

import pytest
from charonia.backend import Device, InstanceContext, ModelContext
from charonia.config import parse_config
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia_backend_tensorrt.profiles import best_profile, instance_profiles, largest_batch
from charonia_backend_tensorrt.tensors import EngineTensor, Span
from hypothesis import given
from hypothesis import strategies as st


def tensor(*spans, name="x"):
    return EngineTensor(name, True, DataType.FP32, (-1, -1), spans=spans)


SMALL = Span((1, 4), (2, 8), (4, 16))
LARGE = Span((4, 8), (8, 16), (16, 32))
OUTPUT = EngineTensor("y", False, DataType.FP32, (-1, -1))


@pytest.mark.parametrize(
    ("shape", "profile"), [((1, 4), 0), ((4, 8), 0), ((4, 16), 1), ((16, 32), 1)], ids=["small", "near", "far", "large"]
)
def test_nearest_profile_is_chosen(shape, profile):
    """Where both profiles allow a shape, the one that is made for a nearer one is used."""
    assert best_profile([tensor(SMALL, LARGE), OUTPUT], {"x": shape}, [0, 1], "m_0") == profile


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=1))
def test_profile_that_is_chosen_allows_the_shape(shapes):
    """Either the chosen profile allows the shape, or none does and the request is refused."""
    shape = shapes[0]
    allowed = [all(low <= size <= high for low, size, high in zip(span.least, shape, span.most)) for span in (SMALL, LARGE)]  # fmt: skip # noqa: B905
    try:
        chosen = best_profile([tensor(SMALL, LARGE)], {"x": shape}, [0, 1], "m_0")
    except InvalidArgumentError:
        assert not any(allowed)
    else:
        assert allowed[chosen]


def test_instance_uses_only_its_own_profiles():
    """A shape that another instance's profile would allow is refused, with the dimension and its limits."""
    told = (
        r"request specifies invalid shape for input 'x'. Error details: model expected the shape of dimension 0 to be between "
        r"1 and 4 but received 16 \(instance m_0\)"
    )
    with pytest.raises(InvalidArgumentError, match=told):
        best_profile([tensor(SMALL, LARGE)], {"x": (16, 16)}, [0], "m_0")


def test_refusal_by_several_profiles_says_so():
    """The first profile's limits are told, and that the others do not allow it either."""
    with pytest.raises(InvalidArgumentError, match="none of the profiles 0, 1 allows it"):
        best_profile([tensor(SMALL, LARGE)], {"x": (17, 16)}, [0, 1], "m_0")


def test_rank_must_be_right():
    """Another number of dimensions is refused."""
    with pytest.raises(InvalidArgumentError, match="model expected 2 dimensions but received 1"):
        best_profile([tensor(SMALL)], {"x": (4,)}, [0], "m_0")


def test_largest_batch_is_that_of_the_widest_profile():
    """In a profile the input that allows the least counts, among profiles the one that allows the most."""
    assert largest_batch([tensor(SMALL, LARGE), tensor(LARGE, SMALL, name="z"), OUTPUT]) == 4
    assert largest_batch([tensor(SMALL, LARGE), OUTPUT]) == 16
    assert largest_batch([OUTPUT]) == 1


def instance(profile=""):
    text = f'name: "m" instance_group [ {{ name: "wide" kind: KIND_GPU count: 1 gpus: 0 {profile} }} ]'
    config = parse_config(text, model="m", file="config.pbtxt", environment={}).config
    return InstanceContext("wide_0", Device("GPU"), ModelContext("m", 1, None, config))


@pytest.mark.parametrize(("written", "profiles"), [("", [0]), ('profile: "1"', [1]), ('profile: ["2", "0"]', [0, 2])])
def test_group_names_the_profiles(written, profiles):
    """The first profile is the default."""
    assert instance_profiles(instance(written), 3) == profiles


@pytest.mark.parametrize("written", ["3", "-1", "first"])
def test_profile_that_the_engine_lacks_is_refused(written):
    """The text names the group, the profile and those that there are."""
    with pytest.raises(InvalidArgumentError, match=f"'wide' of model 'm' names the profile '{written}'.*from 0 to 2"):
        instance_profiles(instance(f'profile: "{written}"'), 3)
