"""Input for readers: good, cut, doubled, spoiled, or of no sense at all.

FUZZ=2000 in the environment tries so many of each, instead of what is quick.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ", "60")), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip

ENVIRONMENT = b"""\
channels: [conda-forge]
dependencies:
  - python =3.12
  - numpy >=2  # [linux]
  - pip:
      - requests ==2.32.3
"""
LOCK = b"""\
version: 1
metadata:
  channels:
    - {url: conda-forge, used_env_vars: []}
  platforms: [linux-64]
package:
  - name: python
    version: 3.12.1
    manager: conda
    platform: linux-64
    url: https://conda.anaconda.org/conda-forge/linux-64/python-3.12.1-0.conda
    hash: {sha256: 0123}
    category: main
"""
OPTIONS = b'gpu = true\ncuda = "12.8"\n'
PIECES = [
    b"\n", b": ", b"- ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!python/object:os.system ",
    b"\0",
    b"\xff\xfe", b"\xe2\x80\xa8", b"null", b"1e999", b"-", b"'", b'"', b"#", b"<<<<<<< HEAD\n",
    b"? ", b"|", b"%", b"\t", b"2026-13-45", b"NaN", b"=", b"[[", b"[" * 3000,
]  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """Good input, cut, doubled, with pieces put in or taken out; now and then nothing but noise."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = good
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 40)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=8))
        data = draw(
            st.sampled_from(
                [data[:at], data[at:], data + data, data[:at] + piece + data[to:],
                 data[:to] + data[at:]]
            )
        )[:20_000]  # fmt: skip
    return data


DEEP = b"[" * 3000 + b"]" * 3000
