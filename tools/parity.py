"""Full-size architectures with random weights, from an image file to the embedding: Ocelli beside timm,
transformers and open_clip. usage: parity.py [--only SUBSTRING] [--ocelli build/cli/ocelli]

Needs the reference environment (../shared/tools/reference-env.sh). The truth is the reference in f64.
Printed are the largest differences from it, relative to the largest value, of Ocelli and of the reference
in f32; exit status 1 where Ocelli's is above 1e-4 and above twice the reference's own.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples/images/coffee.png"

# No timm architecture larger than this is tried.
PARAMETERS = 130e6
TIMM = ["tf_efficientnet_lite*", "tf_efficientnet_b*", "efficientnet_b?", "tf_efficientnetv2_*", "vit_*", "deit*", "flexivit*", "eva_large*"]
HF = ["facebook/dinov2-small", "facebook/dinov2-base", "facebook/dinov2-with-registers-small", "facebook/dinov3-vits16", "google/vit-base", "facebook/deit-distilled", "openai/clip-vit-base-patch32", "google/siglip-base", "google/siglip2-base"]
OPEN_CLIP = ["ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-16-plus-240", "RN50", "RN101", "RN50x4", "ViT-B-16-SigLIP", "ViT-B-32-SigLIP2-256", "vit_medium_patch16_gap_256"]


def reinitialise(model):
    """Biases, scales and statistics that no initialiser leaves at 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    saved = model.state_dict().keys()  # without what is computed: the frequencies of rotary positions
    with torch.no_grad():
        for name, p in [*model.named_parameters(), *model.named_buffers()]:
            if not p.is_floating_point() or p.dim() != 1 or name not in saved:
                continue
            noise = 0.1 * torch.randn(p.shape, generator=generator)
            p.copy_(p * (1 + 3 * noise.abs()) if name.endswith("running_var") else p + noise)
    return model.eval()


def dtype_of(model):
    return next(model.parameters()).dtype


def timm_case(name, folder):
    import timm

    with torch.device("meta"):
        if sum(p.numel() for p in timm.create_model(name).parameters()) > PARAMETERS:
            raise ValueError("large")
    model = reinitialise(timm.create_model(name))
    config = timm.data.resolve_data_config({}, model=model)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    cfg = {k: v for k, v in model.pretrained_cfg.items() if isinstance(v, (str, int, float, tuple, list))}
    written = {"architecture": name, "num_classes": model.num_classes, "pretrained_cfg": cfg}
    if isinstance(model.global_pool, str):
        written["global_pool"] = model.global_pool
    (folder / "config.json").write_text(json.dumps(written))
    pixels = timm.data.create_transform(**config)(Image.open(PHOTO).convert("RGB"))[None]
    return model, lambda: model.forward_head(model.forward_features(pixels.to(dtype_of(model))), pre_logits=True)


def hf_case(name, folder):
    import transformers as t

    if "dinov3" in name:
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil as processor
        model, processor = reinitialise(t.DINOv3ViTModel(t.DINOv3ViTConfig(num_register_tokens=4))), processor()
        run = lambda x: model(x).last_hidden_state[:, 0]
    elif "dinov2" in name:
        from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
        size = dict(hidden_size=384, num_attention_heads=6) if "small" in name else {}
        kind, config = (t.Dinov2WithRegistersModel, t.Dinov2WithRegistersConfig) if "registers" in name else (t.Dinov2Model, t.Dinov2Config)
        model = reinitialise(kind(config(**size, image_size=518, patch_size=14)))
        # The published folders' own configuration, and a picture that keeps its aspect.
        processor = BitImageProcessorPil(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 308}, resample=3,
                                         image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
        run = lambda x: model(x).last_hidden_state[:, 0]
    elif "vit-base" in name and "clip" not in name:
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil as processor
        model, processor = reinitialise(t.ViTModel(t.ViTConfig(), add_pooling_layer=False)), processor()
        run = lambda x: model(x).last_hidden_state[:, 0]
    elif "deit" in name:
        from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil as processor
        model, processor = reinitialise(t.DeiTModel(t.DeiTConfig(), add_pooling_layer=False)), processor()
        run = lambda x: model(x).last_hidden_state[:, 0]
    elif "clip" in name:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as processor
        model, processor = reinitialise(t.CLIPModel(t.CLIPConfig())), processor()
        run = lambda x: model.visual_projection(model.vision_model(x).pooler_output)
    else:
        from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil as processor
        model, processor = reinitialise(t.SiglipModel(t.SiglipConfig())), processor()
        run = lambda x: model.vision_model(x).pooler_output
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    pixels = processor(Image.open(PHOTO).convert("RGB"), return_tensors="pt")["pixel_values"]
    return model, lambda: run(pixels.to(dtype_of(model)))


def open_clip_case(name, folder):
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = open_clip.get_model_config(name)
    model = reinitialise(open_clip.create_model(name))
    cfg = PreprocessCfg(**getattr(model.visual, "preprocess_cfg", {}))
    transform = image_transform_v2(cfg, is_train=False)
    saved = {k: getattr(cfg, k) for k in ("mean", "std", "interpolation", "resize_mode", "fill_color")}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": saved}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    pixels = transform(Image.open(PHOTO).convert("RGB"))[None]
    return model, lambda: model.encode_image(pixels.to(dtype_of(model)))


def difference(values, truth):
    return float(np.abs(values - truth).max() / np.abs(truth).max())


def compare(make, name, ocelli):
    """(Ocelli's difference, the reference's own), or None and a message."""
    with tempfile.TemporaryDirectory() as temp, torch.inference_mode():
        folder = pathlib.Path(temp) / "model"
        folder.mkdir()
        torch.manual_seed(0)
        model, run = make(name, folder)
        reference = run()[0].numpy()
        model.double()
        truth = run()[0].numpy()
        out = pathlib.Path(temp) / "out.npy"
        result = subprocess.run([ocelli, "embed", PHOTO, "-m", folder, "--raw", "-q", "-o", out], capture_output=True, text=True)
        if result.returncode:
            return None, result.stderr.strip().splitlines()[0]
        found = np.load(out)[0]
        if found.shape != truth.shape:
            return None, f"shape {found.shape}, expected {truth.shape}"
        return difference(found, truth), difference(reference, truth)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--ocelli", default=str(ROOT / "build/cli/ocelli"))
    options = parser.parse_args()
    wrong = 0
    import timm

    timm_names = [name for pattern in TIMM for name in timm.list_models(pattern)]
    for library, names, make in (("timm", timm_names, timm_case), ("transformers", HF, hf_case), ("open_clip", OPEN_CLIP, open_clip_case)):
        for name in names:
            if options.only not in f"{library} {name}":
                continue
            try:
                ours, theirs = compare(make, name, options.ocelli)
            except Exception as error:  # of the reference library
                print(f"{library:<13} {name:<40} skipped: {type(error).__name__}: {str(error)[:150]}", flush=True)
                continue
            if ours is None:
                print(f"{library:<13} {name:<40} {theirs}", flush=True)
                continue
            bad = ours > max(1e-4, 2 * theirs)
            wrong += bad
            print(f"{library:<13} {name:<40} {ours:.1e} {theirs:.1e}{' WRONG' if bad else ''}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
