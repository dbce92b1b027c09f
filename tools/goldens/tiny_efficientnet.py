"""timm's EfficientNets at tiny widths: scaled down by timm's own rounding, at most two blocks a stage."""
from timm.models import efficientnet

GENERATORS = {"tf_efficientnet_lite0": efficientnet._gen_efficientnet_lite, "tf_efficientnet_b0": efficientnet._gen_efficientnet,
              "efficientnet_b1": efficientnet._gen_efficientnet, "tf_efficientnetv2_s": efficientnet._gen_efficientnetv2_s}

efficientnet.round_channels = lambda channels, multiplier=1.0, divisor=8, limit=None, **kw: max(4, int(channels * 0.06) // 2 * 2)
decode = efficientnet.decode_arch_def
efficientnet.decode_arch_def = lambda arch, *a, **k: [[dict(b, out_chs=max(4, b["out_chs"] // 12 // 2 * 2)) for b in stage[:2]] for stage in decode(arch, *a, **k)]


def build(architecture):
    ported = dict(bn_eps=1e-3, pad_type="same") if architecture.startswith("tf_") else {}
    return GENERATORS[architecture](architecture, num_classes=5, **ported)
