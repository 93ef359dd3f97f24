"""Judged text made harmless: what no reader sees is taken out, what chat formats reserve is taken apart.

Nothing here decides whether a text is an attack. It leaves the words, so that an attack is judged as what the agent or
its customer wrote, and removes what could make them more than words: characters that hide text (zero-width, tags,
variation selectors), that reorder it (bidi), and the marks by which models tell the roles of a conversation.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Control, format (zero-width, bidi, tags), surrogate, private-use and unassigned characters."""

_KEPT: Final = frozenset("\n\t")

_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef\u034f\u115f\u1160\u3164\uffa0]")
"""Variation selectors, which can carry bytes, and fillers, which show as nothing; neither is of a category above."""

_LINE_ENDS: Final = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""All that some reader takes for the end of a line. As a line feed it is escaped in JSON, which the others are not."""

_RESERVED: Final = re.compile(
    r"<\||\|>"  # <|im_start|>, <|endoftext|>, <|eot_id|>
    r"|</?s>|\[/?INST\]|<</?SYS>>|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]"
    r"|</?(?:start_of_turn|end_of_turn|bos|eos|pad|unk)>"
    r"|</?(?:system|assistant|developer|user|human|instructions?|think|tool_call|function_calls?)\s*/?>"
    r"|^[ \t]*(?:#{1,6}[ \t]*)?(?:system|developer)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)

_APART: Final = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "|": "¦", ":": " -", "#": ""})


def clean(text: str, limit: int) -> str:
    """`text` without unseen characters and reserved marks, its middle left out beyond `limit` characters."""
    return capped(_RESERVED.sub(_taken_apart, visible(text)), limit)


def visible(text: str) -> str:
    """The characters that a reader sees, and line feeds and tabs."""
    text = _SELECTORS.sub("", _LINE_ENDS.sub("\n", text))
    if text.isascii() and text.isprintable():
        return text
    return "".join(char for char in text if char in _KEPT or unicodedata.category(char) not in _UNSEEN)


def capped(text: str, limit: int) -> str:
    """`text`, or its two ends with a mark between them that says how much is missing; `limit` counts the ends alone."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]} [... {len(text) - limit} characters left out ...] {text[-tail:]}"


def has_reserved(text: str) -> bool:
    """Whether a mark is left that chat formats reserve."""
    return _RESERVED.search(text) is not None


def _taken_apart(found: re.Match[str]) -> str:
    return found.group().translate(_APART)
