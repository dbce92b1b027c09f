"""`ocelli pull` end to end, against a hub on the loopback address. usage: hub_test.py OCELLI"""
import hashlib
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import unittest

import fixtures
from support import PROGRAM, Case

COMMIT = "c" * 40
FILES = ("config.json", "model.safetensors")


class Hub(http.server.ThreadingHTTPServer):
    """Serves one repository, org/name, as the hub of Hugging Face does, with faults to order."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {name: (fixtures.GOLDENS / "vit_timm_token" / name).read_bytes() for name in FILES}
        self.slow = self.flip = False  # of the weights
        self.tells_ranges = True
        self.requests = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def describe(self):
        def entry(name, data):
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            large = {"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
            return {"rfilename": name, "size": len(data), "blobId": blob} | (large if name.startswith("model") else {})

        return {"id": "org/name", "sha": COMMIT, "siblings": [entry(*file) for file in self.files.items()]}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        hub = self.server
        hub.requests.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/api/models/org/name/revision/main"):
            return self.answer(200, json.dumps(hub.describe()).encode())
        name = self.path.rsplit("/", 1)[1]
        if not self.path.startswith(f"/org/name/resolve/{COMMIT}/") or name not in hub.files:
            return self.answer(404, b"")
        data = hub.files[name]
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        weights = name.startswith("model")
        if weights and hub.flip:
            data = data[:-1] + bytes([data[-1] ^ 1])
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start and hub.tells_ranges else {}
        self.answer(206 if start else 200, data[start:], extra, weights)

    def answer(self, status, data, extra={}, weights=False):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | extra).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for i in range(0, len(data), 2048):
                self.wfile.write(data[i:i + 2048])
                if weights and self.server.slow:
                    time.sleep(0.1)
        except OSError:  # the client has gone
            pass


class Pull(Case):
    def setUp(self):
        super().setUp()
        self.hub = Hub()
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        self.environment.pop("HF_HUB_OFFLINE")
        self.environment["HF_ENDPOINT"] = self.hub.endpoint
        self.repository = self.folder / "cache/models--org--name"

    def blobs(self):
        return sorted(path.name for path in (self.repository / "blobs").iterdir())

    def test_layout_and_use_without_the_hub(self):
        answer = self.json("pull", "org/name")
        self.assertEqual(list(answer), ["path", "commit", "fetched", "bytes"])
        snapshot = self.repository / "snapshots" / COMMIT
        self.assertEqual((answer["path"], answer["fetched"]), (str(snapshot), 2))
        self.assertEqual((self.repository / "refs/main").read_text(), COMMIT)
        weights = self.hub.files["model.safetensors"]
        link = os.readlink(snapshot / "model.safetensors")
        self.assertEqual(link, f"../../blobs/{hashlib.sha256(weights).hexdigest()}")
        self.assertEqual((snapshot / "model.safetensors").read_bytes(), weights)
        self.assertEqual(self.json("pull", "org/name")["fetched"], 0)

        self.environment["HF_HUB_OFFLINE"] = "1"
        count = len(self.hub.requests)
        predictions = self.json("classify", fixtures.IMAGES / "coffee.png", "-m", "org/name")[0]["predictions"]
        self.assertEqual(len(predictions), 5)
        self.json("classify", fixtures.IMAGES / "coffee.png", "-m", f"org/name@{COMMIT}")
        self.assertEqual(len(self.hub.requests), count)

    def test_a_model_is_pulled_when_it_is_named(self):
        self.json("classify", fixtures.IMAGES / "coffee.png", "-m", "org/name")
        self.assertTrue((self.repository / "refs/main").exists())

    def interrupt(self, number):
        """Pulls until some of the weights are there; the exit status and standard error."""
        weights = hashlib.sha256(self.hub.files["model.safetensors"]).hexdigest()
        beginning = self.repository / "blobs" / f"{weights}.incomplete"
        self.hub.slow = True
        process = subprocess.Popen([PROGRAM, "pull", "org/name"], env=self.environment, stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 30
        while time.time() < deadline and not (beginning.exists() and beginning.stat().st_size):
            time.sleep(0.05)
        process.send_signal(number)
        errors = process.communicate(timeout=30)[1]
        self.hub.slow = False
        self.hub.requests.clear()
        self.assertTrue(beginning.exists())
        self.assertNotIn(weights, self.blobs())
        self.assertFalse((self.repository / "refs/main").exists())
        return process.returncode, errors

    def check_completed(self, answer):
        self.assertEqual(answer["fetched"], 1)
        self.assertFalse([name for name in self.blobs() if name.endswith(".incomplete")])
        weights = self.repository / "snapshots" / COMMIT / "model.safetensors"
        self.assertEqual(weights.read_bytes(), self.hub.files["model.safetensors"])

    def test_a_killed_download_is_resumed(self):
        self.interrupt(signal.SIGKILL)
        answer = self.json("pull", "org/name")
        ranges = [wanted for path, wanted in self.hub.requests if path.endswith("model.safetensors")]
        self.assertRegex(ranges[-1], r"bytes=[1-9]\d+-")
        self.assertLess(answer["bytes"], len(self.hub.files["model.safetensors"]))
        self.check_completed(answer)

    def test_interruption_keeps_the_beginning_alone(self):
        self.assertEqual(self.interrupt(signal.SIGINT), (130, "ocelli: error: cancelled\n"))
        self.check_completed(self.json("pull", "org/name"))

    def test_a_hub_that_does_not_tell_its_ranges(self):
        self.hub.tells_ranges = False
        self.interrupt(signal.SIGKILL)
        self.check_completed(self.json("pull", "org/name"))

    def test_a_wrong_checksum(self):
        self.hub.flip = True
        errors = self.run_program("pull", "org/name", status=65).stderr
        self.assertIn("org/name/model.safetensors: the file that arrived has a wrong checksum", errors)
        self.assertEqual(len(self.blobs()), 1)  # the configuration's
        self.assertIn("no such folder", self.offline_errors())

    def offline_errors(self):
        self.environment["HF_HUB_OFFLINE"] = "1"
        return self.run_program("info", "org/name", status=66).stderr

    def test_an_unreachable_hub(self):
        self.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
        errors = self.run_program("pull", "org/name", status=74).stderr
        self.assertIn("the hub http://127.0.0.1:9 cannot be reached", errors)
        self.json("pull", "org/name", "--endpoint", self.hub.endpoint)

    def test_what_is_not_there(self):
        self.assertIn("other/name", self.run_program("pull", "other/name", status=66).stderr)
        self.assertIn("a hub id is org/name", self.run_program("pull", "not-an-id", status=64).stderr)
        self.environment["HF_HUB_OFFLINE"] = "1"
        self.assertIn("HF_HUB_OFFLINE is set", self.run_program("pull", "org/name", status=74).stderr)


if __name__ == "__main__":
    unittest.main()
