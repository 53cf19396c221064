"""Public keys of age: Bech32 (BIP 173), whose last six letters tell a slip of the pen."""

import re

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
SHAPE = re.compile(rf"age1[{LETTERS}]{{58}}", re.ASCII)
FACTORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def problem(key: str) -> str:
    """Why this is not a public key; empty when it is one."""
    if key.upper().startswith("AGE-SECRET-KEY-"):
        return "it is a secret key; `age-keygen -y FILE` tells the public one"
    if not SHAPE.fullmatch(key):
        return (
            "it is not a public key of age; one is age1 and 58 letters,"
            " as `age-keygen -y FILE` tells"
        )
    # "age" as Bech32 has it: the upper bits of each letter, a zero, the lower bits.
    head = [*(ord(c) >> 5 for c in "age"), 0, *(ord(c) & 31 for c in "age")]
    values = [*head, *(LETTERS.index(c) for c in key.removeprefix("age1"))]
    return "" if _checksum(values) == 1 else "a letter of it is wrong: its checksum does not fit"


def _checksum(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(FACTORS):
            check ^= factor if top >> bit & 1 else 0
    return check
