"""models/zero-shot on the example photographs: sentences find them, labels name them. Skips without the
towers that tools/fetch-default-model fetches. usage: zero_shot_test.py OCELLI"""
import unittest

import fixtures
from support import Case

LABELS = {"coffee.png": "a cup of coffee", "chelsea.png": "a cat", "rocket.jpg": "a rocket", "camera.png": "a photographer"}


@unittest.skipUnless((fixtures.ROOT / "models/default").exists() and (fixtures.ROOT / "models/all-minilm-l6-v2").exists(),
                     "models/default or models/all-minilm-l6-v2 is not there: run tools/fetch-default-model")
class ZeroShot(Case):
    def test_labels_name_photographs(self):
        images = [fixtures.IMAGES / name for name in LABELS]
        found = self.json("classify", *images, "-m", "zero-shot", "--labels", ",".join(LABELS.values()), "--top", "1")
        self.assertEqual([image["predictions"][0]["label"] for image in found], list(LABELS.values()))

    def test_sentences_find_photographs(self):
        self.run_program("index", fixtures.IMAGES, "-m", "zero-shot", "-o", "photos.oci", "-q")
        for sentence, image in [("an espresso on a table", "coffee.png"), ("a kitten", "chelsea.png"),
                                ("the launch of a space ship", "rocket.jpg")]:
            result = self.json("search", "photos.oci", sentence, "-k", "1")
            self.assertIn(image, str(result), sentence)

    def test_is_a_classifier_as_well(self):
        best = self.json("classify", fixtures.IMAGES / "coffee.png", "-m", "zero-shot", "--top", "1")[0]["predictions"][0]
        alone = self.json("classify", fixtures.IMAGES / "coffee.png", "--top", "1")[0]["predictions"][0]
        self.assertEqual((best["index"], best["label"]), (alone["index"], alone["label"]))

    def test_templates_ask_for_the_names_of_the_folders(self):
        for image, name in {"chelsea.png": "kitten", "rocket.jpg": "space rocket"}.items():  # no classes of ImageNet
            (self.folder / "photos" / name).mkdir(parents=True)
            (self.folder / "photos" / name / image).symlink_to(fixtures.IMAGES / image)
        self.assertEqual(self.json("eval", "photos", "-m", "zero-shot", "--templates", "openai80")["top1"], 1)


if __name__ == "__main__":
    unittest.main()
