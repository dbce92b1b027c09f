"""Goldens of text to embedding: tiny text towers with a tokenizer in their folder. Run after text.py, whose
tokenizers they have."""
import json
import os
import pathlib
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModelWithProjection, SiglipConfig, SiglipModel

from common import ROOT, folder, randomise, save_expected

DATA = pathlib.Path(ROOT).parent / "text/data"
TEXTS = ["a photo of a cat", "A photo of TWO dogs, on the beach!", "", "naïve café &amp; 日本語 😀", "the quick brown fox jumps over the lazy dog near the lake again and again"]
LENGTH = 16


def start(case, tokenizer):
    """A golden's folder with the files of a tokenizer."""
    path = folder(case)
    for file in (DATA / tokenizer).iterdir():
        if file.name not in ("expected.json", "config.json"):
            shutil.copy(file, path)
    json.dump(TEXTS, open(os.path.join(path, "texts.json"), "w"))
    return path


def save(path, ids, embedding):
    embedding = embedding.pooler_output if hasattr(embedding, "pooler_output") else embedding
    save_expected(path, **{"text.ids": ids, "text.text_embedding": embedding})


path = start("tokens_clip", "clip_json")
tokenizer = AutoTokenizer.from_pretrained(path)
ends = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
model = randomise(CLIPTextModelWithProjection(CLIPTextConfig(
    hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=len(tokenizer), max_position_embeddings=LENGTH,
    projection_dim=8, **ends)))
model.save_pretrained(path)
batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
save(path, batch["input_ids"], model(**batch).text_embeds)

for case, source in (("tokens_siglip", "siglip_spiece"), ("tokens_siglip2", "gemma_json")):
    path = start(case, source)
    settings = json.load(open(os.path.join(path, "tokenizer_config.json")))
    # SigLIP 2's folders, whose tokenizer is Gemma's, say so too.
    json.dump({**settings, "model_max_length": LENGTH, "padding_side": "right"}, open(os.path.join(path, "tokenizer_config.json"), "w"))
    tower = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    size = 760 if case == "tokens_siglip2" else 340
    config = SiglipConfig(vision_config=dict(tower, image_size=16, patch_size=8), text_config=dict(tower, vocab_size=size, max_position_embeddings=LENGTH))
    model = randomise(SiglipModel(config), 1)
    model.save_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    save(path, ids, model.get_text_features(input_ids=ids))

path = start("tokens_open_clip", "open_clip_simple")
tokenizer = SimpleTokenizer(os.path.join(path, "bpe_simple_vocab_16e6.txt.gz"), context_length=LENGTH)
vision = dict(layers=1, width=16, head_width=8, patch_size=8, image_size=16, mlp_ratio=1.0)
text = dict(context_length=LENGTH, vocab_size=tokenizer.vocab_size, width=16, heads=2, layers=1)
model = randomise(open_clip.CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text))
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, os.path.join(path, "open_clip_model.safetensors"))
json.dump({"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}, open(os.path.join(path, "open_clip_config.json"), "w"))
ids = tokenizer(TEXTS)
save(path, ids, model.encode_text(ids))
