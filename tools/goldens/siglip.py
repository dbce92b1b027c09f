"""Goldens of the siglip family: transformers' SigLIP, and SigLIP 2 of fixed resolution."""
import torch
from transformers import SiglipConfig, SiglipForImageClassification, SiglipModel
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from common import folder, photo, pixels, randomise, save_expected

VISION = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
TEXT = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=99, bos_token_id=2, eos_token_id=1, max_position_embeddings=16)


def pooled(y):
    return y.pooler_output if hasattr(y, "pooler_output") else y


def dense(model, x):
    """Patches among texts after MaskCLIP: the pooling head's value path."""
    head, tokens = model.vision_model.head, model.vision_model(x).last_hidden_state
    weight, bias = (part.chunk(3)[2] for part in (head.attention.in_proj_weight, head.attention.in_proj_bias))
    z = head.attention.out_proj(torch.nn.functional.linear(tokens, weight, bias))
    return z + head.mlp(head.layernorm(z))


def case(name, seed, **text):
    model = randomise(SiglipModel(SiglipConfig(vision_config=VISION, text_config=dict(TEXT, **text))), seed)
    path = folder(name)
    model.save_pretrained(path)
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    processor.save_pretrained(path)
    ids = torch.randint(2, 99, (3, 16), generator=torch.Generator().manual_seed(2))
    ids[0, 5:] = 1
    out = {"text.ids": ids, "text.text_embedding": pooled(model.get_text_features(input_ids=ids)), "text.scale": model.logit_scale.exp().reshape(1),
           "text.bias": model.logit_bias.reshape(1)}
    for key, (h, w) in {"native": (32, 32), "wide": (24, 48)}.items():
        x = pixels(1, h, w)
        out[f"{key}.pixels"] = x
        out[f"{key}.embedding"] = pooled(model.get_image_features(pixel_values=x, interpolate_pos_encoding=(h, w) != (32, 32)))
    out["native.features.1"] = model.vision_model(pixels(1, 32, 32), output_hidden_states=True).hidden_states[2]
    out["native.patch_embeddings"] = dense(model, pixels(1, 32, 32))
    out["photo.embedding"] = pooled(model.get_image_features(**processor(photo(path), return_tensors="pt")))
    save_expected(path, **out)


case("siglip", 0)
case("siglip2_fixed", 1, projection_size=32)
model = randomise(SiglipForImageClassification(SiglipConfig(vision_config=VISION, text_config=TEXT, num_labels=6)))
path = folder("siglip_classifier")
model.save_pretrained(path)
x = pixels(2, 32, 32)
save_expected(path, **{"native.pixels": x, "native.logits": model(x).logits})
