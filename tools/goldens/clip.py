"""Goldens of the clip family: transformers' CLIP classes, open_clip's layout, OpenAI's archive."""
import json
import os

import open_clip
import torch
from safetensors.torch import save_file
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModel,
                          CLIPVisionModelWithProjection)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from common import folder, ids, photo, pixels, randomise, save_expected

VISION = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
TEXT = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=99, max_position_embeddings=16,
            bos_token_id=97, pad_token_id=98)
SIZES = {"native": (32, 32), "wide": (24, 48)}


def pooled(y):
    return y.pooler_output if hasattr(y, "pooler_output") else y


def dense(model, x):
    """Patches among texts after ClearCLIP: the last layer with q-q attention, no residual, no MLP."""
    vision = model.vision_model
    last, states = vision.encoder.layers[-1], vision(x, output_hidden_states=True).hidden_states[-2]
    h, attn = last.layer_norm1(states), last.self_attn
    q, v = (part(h).unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for part in (attn.q_proj, attn.v_proj))
    mixed = (q @ q.transpose(-1, -2) * attn.scale).softmax(-1) @ v
    out = attn.out_proj(mixed.transpose(1, 2).flatten(2))
    return model.visual_projection(vision.post_layernorm(out[:, 1:]))


def hf(case, act="quick_gelu", eos=98, photo_too=False):
    config = CLIPConfig(vision_config=dict(VISION, hidden_act=act), text_config=dict(TEXT, hidden_act=act, eos_token_id=eos), projection_dim=24)
    model = randomise(CLIPModel(config))
    path = folder(case)
    model.save_pretrained(path)
    out = {"text.ids": ids(98), "text.scale": model.logit_scale.exp()[None]}
    out["text.text_embedding"] = pooled(model.get_text_features(input_ids=out["text.ids"]))
    for name, (h, w) in SIZES.items():
        x = pixels(1, h, w)
        out[f"{name}.pixels"] = x
        out[f"{name}.embedding"] = pooled(model.get_image_features(pixel_values=x, interpolate_pos_encoding=(h, w) != (32, 32)))
    model.set_attn_implementation("eager")
    x = model.vision_model(pixels(1, 32, 32), output_hidden_states=True, output_attentions=True)
    out["native.features.0"] = x.hidden_states[1]
    for i in range(2):
        out[f"native.attention.{i}"] = x.attentions[i]
    out["native.patch_embeddings"] = dense(model, pixels(1, 32, 32))
    if photo_too:
        processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        processor.save_pretrained(path)
        out["photo.embedding"] = pooled(model.get_image_features(**processor(photo(path), return_tensors="pt")))
    save_expected(path, **out)


hf("clip_hf", photo_too=True)
hf("clip_hf_old_eos", act="gelu", eos=2)

for case, kind in (("clip_hf_vision_projection", CLIPVisionModelWithProjection), ("clip_hf_vision", CLIPVisionModel)):
    model = randomise(kind(CLIPVisionConfig(**VISION, projection_dim=24)))
    path = folder(case)
    model.save_pretrained(path)
    x = pixels(2, 32, 32)
    y = model(x)
    save_expected(path, **{"native.pixels": x, "native.embedding": y.image_embeds if hasattr(y, "image_embeds") else y.pooler_output})

for case, kind in (("clip_hf_text_projection", CLIPTextModelWithProjection), ("clip_hf_text", CLIPTextModel)):
    model = randomise(kind(CLIPTextConfig(**TEXT, eos_token_id=98, projection_dim=24)))
    path = folder(case)
    model.save_pretrained(path)
    y = model(ids(98))
    save_expected(path, **{"text.ids": ids(98), "text.text_embedding": y.text_embeds if hasattr(y, "text_embeds") else y.pooler_output})


def native(case, vision, quick, archive=False):
    # OpenAI's archives come without a configuration: their heads are 64 wide.
    width, heads = (64, 1) if archive else (32, 2)
    text = dict(context_length=16, vocab_size=99, width=width, heads=heads, layers=1)
    model = randomise(open_clip.CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text, quick_gelu=quick))
    path = folder(case)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    state = {k: v.half().float() if v.is_floating_point() else v for k, v in state.items()}
    model.load_state_dict(state)
    if archive:
        save_archive(state, os.path.join(path, "model.pt"))
    else:
        save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, os.path.join(path, "open_clip_model.safetensors"))
        config = {"model_cfg": {"embed_dim": 24, "quick_gelu": quick, "vision_cfg": vision, "text_cfg": text},
                  "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
                                     "interpolation": "bicubic", "resize_mode": "shortest"}}
        json.dump(config, open(os.path.join(path, "open_clip_config.json"), "w"), indent=1)
    out = {"text.ids": ids(98, 16), "text.scale": model.logit_scale.exp()[None], "text.text_embedding": model.encode_text(ids(98, 16))}
    size = vision["image_size"]
    x = pixels(2, size, size)
    out.update({"native.pixels": x, "native.embedding": model.encode_image(x)})
    if not archive:
        image = photo(path)
        transform = open_clip.image_transform(size, is_train=False, mean=model.visual.image_mean if hasattr(model.visual, "image_mean") and model.visual.image_mean else None)
        out["photo.embedding"] = model.encode_image(transform(image)[None])
    save_expected(path, **out)


def save_archive(state, path):
    """A TorchScript archive whose modules carry OpenAI's names, as clip.load's files do."""

    class Node(torch.nn.Module):
        def forward(self, x):
            return x

    root = Node()
    for name, value in state.items():
        node = root
        parts = name.split(".")
        for part in parts[:-1]:
            if part not in node._modules:
                node.add_module(part, Node())
            node = node._modules[part]
        half = value.half() if value.is_floating_point() and value.dim() > 1 else value
        node.register_parameter(parts[-1], torch.nn.Parameter(half, requires_grad=False))
    root.register_buffer("input_resolution", torch.tensor(32))
    root.register_buffer("context_length", torch.tensor(16))
    root.register_buffer("vocab_size", torch.tensor(99))
    torch.jit.save(torch.jit.trace(root, torch.zeros(1)), path)


VIT = dict(layers=2, width=32, head_width=16, patch_size=8, image_size=32, mlp_ratio=1.5)
native("clip_open_clip", VIT, False)
native("clip_open_clip_quick", VIT, True)
native("clip_openai_archive", dict(VIT, layers=1, width=64, head_width=64), True, archive=True)
native("clip_resnet", dict(layers=[1, 1, 1, 1], width=4, head_width=64, image_size=64), False)

# open_clip with a timm trunk and its own text tower (CustomTextCLIP).
import timm  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402

def timm_trunk(case, trunk, vision, text, **kw):
    original = timm.create_model
    timm.create_model = lambda name, **ignored: trunk
    trunk.default_cfg = {}
    vision, text = dict(vision, image_size=32), dict(text, context_length=16, vocab_size=99, layers=1)
    model = randomise(open_clip.CustomTextCLIP(embed_dim=kw["embed_dim"], vision_cfg=vision, text_cfg=text, **{k: v for k, v in kw.items() if k != "embed_dim"}))
    timm.create_model = original
    path = folder(case)
    model = model.half().float()  # stored in halves, for their size
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, os.path.join(path, "open_clip_model.safetensors"))
    json.dump({"model_cfg": {"vision_cfg": vision, "text_cfg": text, "custom_text": True, **kw}, "preprocess_cfg": {}},
              open(os.path.join(path, "open_clip_config.json"), "w"), indent=1)
    x = pixels(1, 32, 32)
    out = {"native.pixels": x, "native.embedding": model.encode_image(x), "text.ids": ids(98, 16),
           "text.text_embedding": model.encode_text(ids(98, 16)), "text.scale": model.logit_scale.exp()[None]}
    if model.logit_bias is not None:
        out["text.bias"] = model.logit_bias[None]
    save_expected(path, **out)


SHAPE = dict(img_size=32, patch_size=8, depth=1, mlp_ratio=1.5)
timm_trunk("clip_timm_trunk", VisionTransformer(embed_dim=64, num_heads=1, **SHAPE),
           dict(timm_model_name="vit_tiny_patch16_224", timm_pool="avg", timm_proj="linear"), dict(width=32, heads=2), embed_dim=24)
# SigLIP 2 in open_clip's layout.
timm_trunk("clip_open_clip_siglip",
           VisionTransformer(embed_dim=64, num_heads=1, class_token=False, global_pool="map", act_layer="gelu_tanh", num_classes=0, **SHAPE),
           dict(timm_model_name="vit_base_patch32_siglip_256", timm_pool="map", timm_proj="none"),
           dict(width=32, heads=2, no_causal_mask=True, proj_bias=True, pool_type="last", norm_kwargs={"eps": 1e-6},
                act_kwargs={"approximate": "tanh"}),
           embed_dim=64, init_logit_bias=-10)
