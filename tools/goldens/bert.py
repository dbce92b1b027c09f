"""Goldens of the bert family: transformers' BertModel over a padded batch, a model with a head, and sentence-transformers' layout."""
import json
import os

import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForMaskedLM, BertModel

from common import folder, ids, randomise, save_expected

CONFIG = BertConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=99, max_position_embeddings=16,
                    type_vocab_size=2)


def padded():
    """The texts of common.ids, whose ends are padding."""
    x = ids(0)
    return x, (x != 0).long()


def transformers(case):
    model = randomise(BertModel(CONFIG))
    path = folder(case)
    model.save_pretrained(path)
    x, mask = padded()
    whole = ids(98)
    save_expected(path, **{"text.ids": x, "text.attention_mask": mask, "text.text_embedding": model(input_ids=x, attention_mask=mask).pooler_output,
                           "whole.ids": whole, "whole.text_embedding": model(input_ids=whole).pooler_output})


def sentences(case, mode, normal):
    """What sentence-transformers' Transformer, Pooling and Normalize modules do."""
    model = randomise(BertModel(CONFIG, add_pooling_layer=mode == "mean"))
    path = folder(case)
    model.save_pretrained(path)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] if normal else [])
    json.dump([{"idx": i, "name": str(i), "path": p, "type": f"sentence_transformers.models.{kind}"} for i, (p, kind) in enumerate(modules)],
              open(os.path.join(path, "modules.json"), "w"), indent=1)
    json.dump({"max_seq_length": 14}, open(os.path.join(path, "sentence_bert_config.json"), "w"))
    os.makedirs(os.path.join(path, "1_Pooling"))
    json.dump({"word_embedding_dimension": 32, "pooling_mode_cls_token": mode == "cls", "pooling_mode_mean_tokens": mode == "mean",
               "pooling_mode_max_tokens": False}, open(os.path.join(path, "1_Pooling", "config.json"), "w"))
    x, mask = padded()
    states = model(input_ids=x, attention_mask=mask).last_hidden_state
    weights = mask[..., None].float()
    pooled = states[:, 0] if mode == "cls" else (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    save_expected(path, **{"text.ids": x, "text.attention_mask": mask, "text.text_embedding": F.normalize(pooled) if normal else pooled})


transformers("bert_hf")
sentences("bert_sentence_mean", "mean", True)
sentences("bert_sentence_cls", "cls", False)

model = randomise(BertForMaskedLM(CONFIG))
path = folder("bert_masked_lm")
model.save_pretrained(path)
x, mask = padded()
save_expected(path, **{"text.ids": x, "text.attention_mask": mask,
                       "text.text_embedding": model.bert(input_ids=x, attention_mask=mask).last_hidden_state[:, 0]})
