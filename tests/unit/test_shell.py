"""Whatever the value, the shell gets just that value."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st
from mlops_install.shell import here, sh

words = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1)


def bash(script: str) -> bytes:
    return subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout


@settings(max_examples=40, deadline=None)
@given(words)
def test_words_arrive_as_they_are(given_words):
    out = bash(sh("printf", "%s\\0", *given_words))
    assert out == b"".join(word.encode() + b"\0" for word in given_words)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=2000))
def test_data_arrives_byte_by_byte(data):
    assert bash(here(data)) == data
