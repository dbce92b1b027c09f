"""Small tokenizers of every kind, trained here, with the ids that their reference gives for tricky strings.
Training breaks ties as it likes, so another run writes other vocabularies.
usage: text.py CLIP_TOKENIZER_FOLDER (OpenAI's vocabulary; only ids of it are written)"""
import gzip
import html.entities
import io
import json
import os
import pathlib
import random
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import ftfy  # its sloppy encodings
import open_clip
import sentencepiece
from open_clip.tokenizer import SimpleTokenizer
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertTokenizer, CLIPTokenizer, GemmaTokenizer, RobertaTokenizer, Siglip2Tokenizer, T5Tokenizer
from transformers import XLMRobertaTokenizer

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests/text/data"
MOJIBAKE = [s.encode().decode(page) for s, page in (
    ("voilà — “naïve” café", "sloppy-windows-1252"), ("Привет, мир", "latin-1"), ("l’été à la plage", "macroman"), ("schön & süß", "cp437"))]
STRINGS = [
    "", " ", "   \t\n ", "a photo of a cat", "A Photo of a CAT.", "don't we'll I'm you're they've he'd 'S x's", "hello   world\n\nnew\tline",
    "123 4567 3.14 1,000", "naïve café e\u0301 E\u0301", "İstanbul ΣΑΣ ß ẞ Ǆ", "日本語 中文 한국어", "😀👩‍👩‍👧‍👦 🇩🇪 ❤️ 👍🏽", "&amp; &lt;b&gt; &#39;",
    "\u00a0non\u2009breaking\u3000space\u200bzero", "control\x01\x7f\x1f char", "<|startoftext|>inside<|endoftext|> text <|ENDOFTEXT|>",
    "!!! ??? -- ... ~~~", "snake_case camelCase", "٣٤٥ ⅷ ½ ² ၁၂ ๓", "ﬁ ligature Ａ fullwidth ｶﾞ", "“quotes” ‘single’ don’t",
    "supercalifragilisticexpialidocious" * 3, " ".join(f"word{i}" for i in range(200)), "\u0301 lone", "a\u0300\u0301b q\u0323\u0307", "x" * 300,
    "https://example.com/a?b=c&d=e#f", "\\n \\t \"json\"", "مرحبا بالعالم שלום", "हिन्दी", "ไทย", "\ufeffbom", "\U0001d54f math",
    "line\u2028sep\u0085nel", "'''s", "'re''ll", "P&EACUTE;REZ &hellip; &notit; &copy &#128; &#x2019;s &#xD83D; &zzz; &amp;amp;", "<b>&amp;</b>",
    "\x1b[31mred\x1b[0m", "Ĳsselmeer ŉ ﬂuﬃest", "ſ 'ſ \u0345x K", "\ufffd broken \ufffc", "</s> end </s>a<unk>b", "[CLS] a [MASK] b[SEP]", "<s>a<pad> <mask>",
    "<start_of_text>x<end_of_text>", "▁a ▁ b▁", "a\r\nb\rc", "  leading", "trailing  ", "\n", "一二三，四五。", "e\u0301\u0327 ệ", "don´t `x` ^y", "ab" * 60,
    "THE QUICK brown FoX", "ǅ ǈ Ω Å", "tab\there", "𝒜𝓑 ℋ ①", "x\u200dy\u200cz", "\u2066rtl\u2069", "12:30 p.m. $5 €10", "C++ C# F-16", "<extra_id_0> x <extra_id_1>",
    "the the the", "a", "Z", "?", "\x00nul", "\ud7ff\ue000 \U0010fffd", "[tok]a [tok] b  [strip]  c wordtok xwordtok lowTOK", *MOJIBAKE,
]
TRAINING = [
    "a photo of a cat", "a photo of a dog on the beach", "the quick brown fox jumps over the lazy dog", "two people ride a red bicycle in the rain",
    "a close-up of a plate of food, with tomatoes and cheese", "an old man's hat isn't what you'd expect; it's grey", "three 3 boats, 12 birds and 450 fish",
    "A Young Woman Plays Tennis In The Park", "le café est à côté de la plage en été", "schöne Grüße aus München", "Привет мир, это фото кошки", "日本語の写真 猫と犬",
    "한국어 사진", "صورة قطة", "the word is words, wording and reworded", "https://example.com/path?query=1", "children playing with a ball near the lake",
    "snow covered mountains under a blue sky", "“quoted” text — with dashes… and dots", "emoji 😀 and ❤ in a caption",
] * 3
BATCH = ["a cat", "", "A photo of two dogs, a cat and three people who ride bicycles near the lake in 1999."]
LENGTH = 12


def bpe(vocab_size=420, suffix=None, alphabet=None, special=(), **model):
    """A BPE model and the trainer for it."""
    kw = {} if suffix is None else {"end_of_word_suffix": suffix}
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=alphabet or [], show_progress=False, **kw)
    return models.BPE(**model, **kw), trainer


def trained(model, trainer, normalizer=None, pre_tokenizer=None):
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer


def parts(tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model.get("merges", [])]


def folder(case):
    path = DATA / case
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write(path, **files):
    for name, value in files.items():
        (path / f"{name}.json").write_text(json.dumps(value, ensure_ascii=True) + "\n")


def expect(path, encode, batch, decode):
    ids = [encode(s) for s in STRINGS]
    expected = {"encode": ids, "batch": batch(BATCH), "decode": [[decode(i, True), decode(i, False)] for i in ids]}
    (path / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


def transformers_case(path):
    """What AutoTokenizer makes of the files in `path`."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)

    def batch(texts):
        out = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH)
        return {"ids": out["input_ids"], "mask": out["attention_mask"]}

    expect(path, lambda s: tokenizer(s)["input_ids"], batch, lambda i, skip: tokenizer.decode(i, skip_special_tokens=skip))


def open_clip_case(path, tokenizer, simple=True):
    def batch(texts):
        ids = tokenizer(texts, context_length=LENGTH).tolist()
        return {"ids": ids}

    if simple:
        ends = (tokenizer.sot_token_id, tokenizer.eot_token_id)
        expect(path, lambda s: [ends[0], *tokenizer.encode(s), ends[1]], batch,
               lambda i, skip: tokenizer.decode([t for t in i if not skip or t not in ends]).removesuffix(" "))
    else:
        inner = tokenizer.tokenizer
        expect(path, lambda s: inner(tokenizer.clean_fn(s))["input_ids"], batch, lambda i, skip: inner.decode(i, skip_special_tokens=skip))


def raw_case(case, tokenizer, config=None):
    """A tokenizer.json that transformers takes as it is."""
    path = folder(case)
    tokenizer.save(str(path / "tokenizer.json"))
    write(path, tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast", **(config or {})})
    transformers_case(path)


def clip_cases():
    split = pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True)
    words = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    model, trainer = bpe(900, "</w>", pre_tokenizers.ByteLevel.alphabet())
    merges = parts(trained(model, trainer, normalizers.Lowercase(), words))[1]
    # The vocabulary in OpenAI's order, so that both implementations have the same ids.
    text = "#version: 0.2\n" + "\n".join(" ".join(m) for m in merges)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as f:
        f.write(text.encode())
    simple_path = folder("open_clip_simple")
    archive = simple_path / "bpe_simple_vocab_16e6.txt.gz"
    archive.write_bytes(packed.getvalue())
    text_cfg = {"context_length": 16, "vocab_size": 999}
    write(simple_path, open_clip_config={"model_cfg": {"text_cfg": text_cfg}})
    simple = SimpleTokenizer(str(archive), context_length=16)
    open_clip_case(simple_path, simple)

    path = folder("open_clip_canonicalize")
    shutil.copy(archive, path)
    write(path, open_clip_config={"model_cfg": {"text_cfg": {**text_cfg, "tokenizer_kwargs": {"clean": "canonicalize"}}}})
    open_clip_case(path, SimpleTokenizer(str(archive), context_length=16, clean="canonicalize"))

    vocab = {k.replace("<start_of_text>", "<|startoftext|>").replace("<end_of_text>", "<|endoftext|>"): v for k, v in simple.encoder.items()}
    path = folder("clip_json")
    CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16).save_pretrained(path)
    transformers_case(path)

    path = folder("clip_files")
    write(path, vocab=vocab, config={"model_type": "clip"}, tokenizer_config={"model_max_length": 16},
          special_tokens_map={"bos_token": {"content": "<|startoftext|>", "lstrip": False, "rstrip": False, "normalized": True, "single_word": False}})
    (path / "merges.txt").write_text(text + "\n")
    transformers_case(path)

    path = folder("open_clip_files")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(DATA / "clip_files" / name, path)
    write(path, open_clip_config={"model_cfg": {"text_cfg": text_cfg}})
    open_clip_case(path, simple)


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level_cases():
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    model, trainer = bpe(480, alphabet=alphabet, special=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    vocab, merges = parts(trained(model, trainer, None, pre_tokenizers.ByteLevel(add_prefix_space=False)))
    path = folder("roberta_json")
    RobertaTokenizer(vocab=vocab, merges=merges, add_prefix_space=True, model_max_length=32).save_pretrained(path)
    transformers_case(path)

    path = folder("gpt2_files")
    write(path, vocab={**vocab, "<|endoftext|>": len(vocab)}, config={"model_type": "gpt2"}, tokenizer_config={"add_bos_token": True})
    (path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
    transformers_case(path)

    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    model, trainer = bpe(480, alphabet=alphabet)
    tokenizer = trained(model, trainer, None, pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
    document = json.loads(tokenizer.to_str())
    # A word that no merge leads to, which ignore_merges finds whole.
    document["model"]["vocab"]["Ġbicycle"] = len(document["model"]["vocab"])
    document["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    tokenizer.add_tokens([AddedToken("[tok]", single_word=True), AddedToken("[strip]", lstrip=True, rstrip=True), AddedToken("wordtok", single_word=True),
                          AddedToken("lowTOK", normalized=False), AddedToken("  ", normalized=False)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))])])
    tokenizer.decoder = decoders.ByteLevel()
    raw_case("byte_level_raw", tokenizer, {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|end|>", "padding_side": "left",
                                           "truncation_side": "left", "model_max_length": 40})


def byte_fallback_cases():
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{b:02X}>" for b in range(256))]
    for case, kind, extra in (("gemma_json", GemmaTokenizer, {}), ("siglip2_json", Siglip2Tokenizer, {"padding_side": "right"})):
        model, trainer = bpe(760, special=special, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
        vocab, merges = parts(trained(model, trainer, normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous")))
        tokenizer = kind(vocab=vocab, merges=merges, model_max_length=64, **extra)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", vocab["<eos>"])])
        path = folder(case)
        tokenizer.save_pretrained(path)
        transformers_case(path)
    # As Llama's older files: a prepended mark, unknowns, and only some bytes to fall back to.
    model, trainer = bpe(400, special=["<unk>", "<s>", "</s>", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"], unk_token="<unk>", byte_fallback=True, fuse_unk=False)
    tokenizer = trained(model, trainer, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    raw_case("llama_raw", tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"})


def word_cases():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for case, lower, config in (("bert_files", True, {}), ("bert_cased", False, {"do_lower_case": False, "tokenize_chinese_chars": False}),
                                ("bert_accents", True, {"strip_accents": False, "model_max_length": 20})):
        trainer = trainers.WordPieceTrainer(vocab_size=380, special_tokens=special, show_progress=False)
        tokenizer = trained(models.WordPiece(unk_token="[UNK]"), trainer, normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer())
        vocab = parts(tokenizer)[0]
        path = folder(case)
        (path / "vocab.txt").write_text("\n".join(sorted(vocab, key=vocab.get)) + "\n")
        write(path, config={"model_type": "bert"}, tokenizer_config={"tokenizer_class": "BertTokenizer", **config})
        if case == "bert_accents":
            BertTokenizer.from_pretrained(path).save_pretrained(path)
            (path / "vocab.txt").unlink()
        transformers_case(path)
    pre = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous")])
    trainer = trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False)
    tokenizer = trained(models.WordLevel(unk_token="<unk>"), trainer, normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]), pre)
    raw_case("word_level_raw", tokenizer, {"unk_token": "<unk>"})


RULES = "".join(f"{' '.join(f'{ord(c):X}' for c in a)}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in (
    ("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\r", " "), ("ﬁ", "fi"), ("Ａ", "A"), ("e\u0301", "é"), ("\u200b", " "), ("①", "1"), ("\x7f", "")))


def spiece(path, **kw):
    (path / "rules.tsv").write_text(RULES)
    model = io.BytesIO()
    options = dict(vocab_size=330, model_type="unigram", normalization_rule_tsv=str(path / "rules.tsv"), character_coverage=0.999, hard_vocab_limit=False,
                   pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TRAINING), model_writer=model, **{**options, **kw})
    (path / "rules.tsv").unlink()
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    proto.normalizer_spec.ClearField("normalization_rule_tsv")  # the path of the rules on this machine
    return proto.SerializeToString()


def sentencepiece_cases():
    for case, config, kw in (("siglip_spiece", {}, {}), ("siglip_options", {"do_lower_case": False, "pad_token": "<pad>", "model_max_length": 24, "truncation_side": "left"},
                             {"user_defined_symbols": ["photo", "_x"], "remove_extra_whitespaces": False, "byte_fallback": True, "vocab_size": 560})):
        path = folder(case)
        model = spiece(path, **kw)
        (path / "spiece.model").write_bytes(model)
        write(path, config={"model_type": "siglip"}, tokenizer_config={"tokenizer_class": "SiglipTokenizer", **config})
        transformers_case(path)

    path = folder("t5_spiece")
    (path / "spiece.model").write_bytes(spiece(path))
    write(path, config={"model_type": "t5"}, tokenizer_config={"tokenizer_class": "T5Tokenizer", "extra_ids": 3})
    transformers_case(path)

    path = folder("open_clip_t5")  # as open_clip's SigLIP folders
    T5Tokenizer.from_pretrained(DATA / "t5_spiece", extra_ids=0, pad_token="</s>").save_pretrained(path)
    text_cfg = {"context_length": 16, "hf_tokenizer_name": "somewhere/else", "tokenizer_kwargs": {"clean": "canonicalize"}}
    write(path, open_clip_config={"model_cfg": {"text_cfg": text_cfg}})
    open_clip_case(path, open_clip.get_tokenizer(f"local-dir:{path}"), simple=False)

    for case, config, kw in (("model_bpe", {"add_bos_token": True}, {"model_type": "bpe", "user_defined_symbols": ["photo", " x", "_x"], "byte_fallback": True,
                                                                     "remove_extra_whitespaces": False, "vocab_size": 420}),
                             ("model_unigram", {"legacy": False, "add_eos_token": True}, {})):
        path = folder(case)
        (path / "tokenizer.model").write_bytes(spiece(path, **{"pad_id": -1, "unk_id": 0, "bos_id": 1, "eos_id": 2, **kw}))
        write(path, tokenizer_config={"tokenizer_class": "TokenizersBackend", **config})
        transformers_case(path)

    path = folder("xlm_roberta_spiece")
    (path / "sentencepiece.bpe.model").write_bytes(spiece(path, pad_id=-1, unk_id=0, bos_id=1, eos_id=2))
    write(path, config={"model_type": "xlm-roberta"}, tokenizer_config={"tokenizer_class": "XLMRobertaTokenizer"})
    transformers_case(path)


def unigram_raw():
    normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(r" {2,}"), " "), normalizers.Strip(right=False), normalizers.Prepend("_")])
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=["<unk>", *(f"<0x{b:02X}>" for b in range(0x80, 0x100))], unk_token="<unk>", show_progress=False)
    tokenizer = trained(models.Unigram(), trainer, normalizer, pre_tokenizers.Metaspace(prepend_scheme="first"))
    document = json.loads(tokenizer.to_str())
    document["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    raw_case("unigram_raw", tokenizer, {"unk_token": "<unk>"})


def openai_ids(source):
    """Ids of OpenAI's own vocabulary, which is not committed."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    simple = SimpleTokenizer(os.path.join(source, "bpe_simple_vocab_16e6.txt.gz"))
    rows = {"transformers": [tokenizer(s)["input_ids"] for s in STRINGS], "open_clip": [simple.encode(s) for s in STRINGS],
            "open_clip_batch": simple(BATCH + ["dog " * 90]).tolist(),
            "padded": tokenizer(["a cat", " ".join(["dog"] * 90)], padding="max_length", truncation=True, max_length=77)["input_ids"]}
    (DATA / "clip_tokens.json").write_text(json.dumps(rows, separators=(",", ":")) + "\n")


def cleaned():
    """What ftfy and html.unescape make of text that was read in wrong encodings, and of references."""
    generator = random.Random(0)
    words = "the a café naïve – “q” don't it’s 日本 한국 😀 ¿qué? £5 €10 ½ № ™ à voilà là-bas Москва Ελλάδα ΣΑΣ الله ไทย ﬁne ＦＵ ｶﾀ &amp; &eacute; Œuvre ² × °".split()
    pages = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253", "sloppy-windows-1254",
             "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437"]
    texts = []
    for _ in range(500):
        text = " ".join(generator.choice(words) for _ in range(generator.randrange(1, 6)))
        for _ in range(generator.randrange(3)):
            data = text.encode()
            data = data.replace(b"\xa0", b" ") if generator.random() < 0.3 else data
            text = data.decode(generator.choice(pages), errors="replace")
        texts.append(text if generator.random() < 0.8 else text + " " + generator.choice(words).encode().decode("latin-1") + " end")
    names = generator.sample(sorted(html.entities.html5), 300)
    references = [f"&{n}" for n in names] + [f"&{n.upper()} &{n.rstrip(';')}z" for n in names[:150]]
    references += [f"&#{n};&#x{n:x}" for n in [*range(0, 40), *range(126, 162), 0xD800, 0xFDD0, 0xFFFE, 0x10FFFF, 0x110000, 10**20]] + ["&", "&#;", "&#x;", "&;", "a&b", "&&lt;"]
    rows = {"ftfy": [[t, ftfy.fix_text(t)] for t in texts + STRINGS + references], "unescape": [[t, html.unescape(t)] for t in references]}
    (DATA / "cleaned.json").write_text(json.dumps(rows, separators=(",", ":")) + "\n")


DATA.mkdir(exist_ok=True)
(DATA / "strings.json").write_text(json.dumps({"strings": STRINGS, "batch": BATCH, "length": LENGTH}, indent=0) + "\n")
clip_cases()
byte_level_cases()
byte_fallback_cases()
word_cases()
sentencepiece_cases()
unigram_raw()
cleaned()
openai_ids(sys.argv[1])
for unused in DATA.rglob("README.md"):
    unused.unlink()
