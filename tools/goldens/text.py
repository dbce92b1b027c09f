"""Token ids of transformers' tokenizers for tricky strings. usage: text.py CLIP_TOKENIZER_FOLDER"""
import json
import pathlib
import sys

from transformers import AutoTokenizer

STRINGS = [
    "", " ", "   \t\n ", "a photo of a cat", "A Photo of a CAT.", "don't we'll I'm you're they've he'd 'S x's",
    "hello   world\n\nnew\tline", "123 4567 3.14 1,000", "naïve café e\u0301 E\u0301", "İstanbul ΣΑΣ ß ẞ Ǆ", "日本語 中文 한국어",
    "😀👩‍👩‍👧‍👦 🇩🇪", "&amp; &lt;b&gt; &#39;", "\u00a0non\u2009breaking\u3000space\u200bzero", "control\x01\x7f\x1f char",
    "<|startoftext|>inside<|endoftext|> text <|endoftext|>", "!!! ??? -- ... ~~~", "snake_case camelCase", "٣٤٥ ⅷ ½ ²",
    "ﬁ ligature Ａ fullwidth", "“quotes” ‘single’", "don’t", "supercalifragilisticexpialidocious" * 3,
    " ".join(f"word{i}" for i in range(200)), "\u0301 lone", "a\u0300\u0301b", "x" * 300, "https://example.com/a?b=c&d=e#f",
    "\\n \\t \"json\"", "مرحبا بالعالم", "हिन्दी", "ไทย", "\ufeffbom", "\U0001d54f math", "line\u2028sep\u0085nel", "'''s", "'re''ll",
]
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
rows = [{"text": s, "ids": tokenizer(s)["input_ids"]} for s in STRINGS]
padded = tokenizer(["a cat", " ".join(["dog"] * 90)], padding="max_length", truncation=True, max_length=77)["input_ids"]
out = pathlib.Path(__file__).resolve().parents[2] / "tests/text/data/clip_tokens.json"
out.write_text(json.dumps({"encode": rows, "padded": padded}, ensure_ascii=True, indent=0) + "\n")
