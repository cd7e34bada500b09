"""Odd JSON documents, the same for the same seed: names twice, numbers at the bounds, spoilt characters."""

from __future__ import annotations

import json
import random

NAMES = ("order_id", "a", "b", "amount", "x:y", 'q"z', "\\", "/", "é", "", "order_time")
STRINGS = ("", ":", "a:b", '"', "\\", '":":"', '{"a":1}', '\\":', "é:", "\u2028:", "\t", "x" * 50 + ":")
NUMBERS = (
    *("1", "-0", "1.5", "1E5", "1e999", "-1e-999", "01", "1.", ".5", "NaN", "-Infinity", "+1", "true", "null"),
    *("9" * 999, "9" * 1000, "9" * 1001, "-" + "9" * 999, "-" + "9" * 1000),
    *("0." + "1" * 998, "0." + "1" * 999, "0." + "1" * 1000, "1" * 997 + "e10", "1" * 998 + "e10"),
    *("1e999999999", "0.1e-999999999", "1E1000000000", "1e0000000001", "1e2147483648", "1e9223372036854775808"),
)
SEPARATORS = (",", ",", ", ", " ,\n", ",\t")
SPOILERS = "{}[]:,\"\\\t\n \x01'#/*\ufeffa1.eE-+\x7f\u00a0"


class Draw:
    """Odd documents, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def string(self, text: str) -> str:
        spelt = json.dumps(text, ensure_ascii=self.random.random() < 0.5)
        return spelt.replace("a", "\\u0061") if self.random.random() < 0.2 else spelt

    def value(self, depth: int) -> str:
        chance = self.random.random()
        if depth > 0 and chance < 0.35:
            return self.object(depth - 1)
        if depth > 0 and chance < 0.5:
            parts = [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
            return f"[{self.random.choice(SEPARATORS).join(parts)}]"
        if chance < 0.7:
            return self.string(self.random.choice(STRINGS))
        return self.random.choice(NUMBERS)

    def object(self, depth: int) -> str:
        members = []
        for _ in range(self.random.randint(0, 4)):
            often = self.random.random() < 0.6
            name = self.random.choice(NAMES) if often else f"k{self.random.randint(0, 10**6)}"
            colon = self.random.choice((":", ": ", " :"))
            members.append(self.string(name) + colon + self.value(depth))
        return "{" + self.random.choice(SEPARATORS).join(members) + "}"

    def document(self) -> str:
        if self.random.random() < 0.05:
            depth = self.random.choice((5, 998, 999, 1000))
            return '{"a":' * depth + "1" + "}" * depth
        text = list(self.object(self.random.randint(1, 4)))
        for _ in range(self.random.choice((0, 0, 0, 1, 2))):
            at = self.random.randrange(len(text) + 1)
            text[at : at + self.random.randint(0, 1)] = self.random.choice(SPOILERS)
        return "".join(text)
