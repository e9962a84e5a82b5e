"""Damaged files: only typed errors that name the file; a small part of what fuzz.py runs."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import fuzz
from tests.data.fuzz_readers import READERS

EXAMPLES = 60


@pytest.fixture(scope="module", params=READERS, ids=lambda reader: reader.name)
def damaged(request):
    with fuzz.folder_of(request.param) as (folder, whole):
        yield request.param, folder, whole


@settings(max_examples=EXAMPLES, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_file_is_refused_by_name_or_read_as_it_is(damaged, seed):
    reader, folder, whole = damaged
    found, error = fuzz.outcome(reader, folder, whole, Random(seed))
    assert found not in fuzz.FAULTS, error


def test_whole_files_are_read_without_a_word(damaged):
    reader, folder, _ = damaged
    assert fuzz._outcome(reader, folder) == ("read", "")


def test_what_goes_wrong_is_seen(damaged):
    """The harness tells faults from refusals."""
    reader, folder, _ = damaged

    def broken(error):
        def read(folder):
            raise error

        return fuzz._outcome(reader._replace(read=read), folder)[0]

    assert broken(IndexError("3")) == "another error"
    assert broken(fuzz.DataError("wrong")) == "not named"
    assert broken(fuzz.DataError("wrong", folder / "a")) == "refused by name"
    assert broken(AssertionError()) == "misread"
