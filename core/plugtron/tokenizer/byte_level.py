"""GPT-2's way to write any byte as a visible character, which byte-level BPE vocabularies are spelled in."""

from __future__ import annotations

__all__ = ["byte_of_character", "spelled_bytes"]


def byte_of_character() -> dict[str, int]:
    """The table of https://github.com/openai/gpt-2: printable bytes stand for themselves, others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in table.values()]
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


def spelled_bytes(token: str, table: dict[str, int]) -> bytes:
    """The bytes that a byte-level token spells; one that is not spelled in the table stands for itself."""
    try:
        return bytes(table[character] for character in token)
    except KeyError:
        return token.encode()
