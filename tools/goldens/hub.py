"""Writes tests/hub/data/hf_cache: a cache as huggingface_hub lays it out, filled by the library itself
from a server on the loopback address. usage: hub.py [OUT]"""
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import sys
import threading

REPOS = {
    "org/whole": ("a" * 40, {"config.json": b'{"model_type": "vit"}\n', "model.safetensors": b"w" * 64}),
    "org/part": ("b" * 40, {"config.json": b"{}\n", "model.safetensors": b"p" * 64}),
}


def etag(name, data):
    if name.endswith(".safetensors"):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        for repo, (commit, files) in REPOS.items():
            if path.startswith(f"/api/models/{repo}/tree/"):
                tree = [{"type": "file", "path": n, "size": len(d), "oid": etag("", d)} for n, d in files.items()]
                return self.answer(200, json.dumps(tree).encode(), [("Content-Type", "application/json")])
            if path.startswith(f"/api/models/{repo}"):
                info = {"id": repo, "sha": commit, "siblings": [{"rfilename": n} for n in files]}
                return self.answer(200, json.dumps(info).encode(), [("Content-Type", "application/json")])
            if path.startswith(f"/{repo}/resolve/"):
                name = path.split("/", 5)[5]
                return self.answer(200, files[name], [("ETag", f'"{etag(name, files[name])}"'),
                                                      ("X-Repo-Commit", commit)])
        self.answer(404)

    do_HEAD = do_GET


out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                   pathlib.Path(__file__).resolve().parents[2] / "tests/hub/data/hf_cache")
shutil.rmtree(out, ignore_errors=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ.update(HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HUB_DISABLE_XET="1",
                  HF_HUB_DISABLE_TELEMETRY="1", NO_PROXY="127.0.0.1")

import huggingface_hub  # noqa: E402  (reads the environment when imported)

huggingface_hub.hf_hub_download("org/whole", "config.json", cache_dir=out)
huggingface_hub.hf_hub_download("org/whole", "model.safetensors", cache_dir=out)
huggingface_hub.hf_hub_download("org/part", "config.json", cache_dir=out)
shutil.rmtree(out / ".locks", ignore_errors=True)
print(huggingface_hub.__version__, *sorted(str(p.relative_to(out)) for p in out.rglob("*")), sep="\n")
