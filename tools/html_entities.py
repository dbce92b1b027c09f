"""Writes ocelli/text/clean/html_entities.inc: HTML 5's named character references, as Python's html.entities has them."""
import html.entities
import pathlib
import textwrap

words = [f"{name}={','.join(f'{ord(c):x}' for c in text)}" for name, text in sorted(html.entities.html5.items())]
lines = textwrap.wrap(" ".join(words), 94, break_long_words=False, break_on_hyphens=False)
out = pathlib.Path(__file__).resolve().parents[1] / "ocelli/text/clean/html_entities.inc"
header = "// Written by tools/html_entities.py: name=code points, in hexadecimal.\n"
out.write_text(header + "\n".join(f'"{line} "' for line in lines) + "\n")
