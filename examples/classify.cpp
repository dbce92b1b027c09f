// The best classes of an image. usage: classify MODEL IMAGE
#include <ocelli/engine/classify.h>
#include <ocelli/image/decode.h>

#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: classify MODEL IMAGE\n"), 64;
  const ocelli::Classifier classifier(ocelli::open_model(argv[1]));
  const ocelli::Model& model = *classifier.model().model;
  const ocelli::Image image = ocelli::decode_image_file(argv[2]);
  const ocelli::Tensor pixels = ocelli::preprocess(model.image_processor(), image);  // [H, W, 3]
  const ocelli::Tensor row = classifier(pixels.unsqueeze(0)).select(0, 0);           // [classes]
  for (const ocelli::Prediction& best : ocelli::top_k(row, classifier.labels(), 5)) {
    std::printf("%6.2f %%  %s\n", 100 * best.probability, best.label.c_str());
  }
} catch (const ocelli::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return ocelli::error_info(error.code()).exit_status;
}
