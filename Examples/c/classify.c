/* Classifies pictures from C.
 *
 *   cc classify.c $(pkg-config --cflags --libs hgnet) -o classify
 *   ./classify best_model.pdparams photo.jpg other.png
 */
#include <hgnet.h>
#include <stdio.h>

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, hgnet_error_text());
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s WEIGHTS PICTURE...\n", argv[0]);
    return 64;
  }
  hgnet_options options = hgnet_default_options();
  options.top_k = 5;
  hgnet_classifier classifier;
  if (hgnet_classifier_open(argv[1], &options, &classifier) != HGNET_OK) return fail("cannot open the weights");

  int status = 0;
  for (int i = 2; i < argc; i++) {
    hgnet_scored_class classes[5];
    size_t count;
    if (hgnet_file_classify(classifier, argv[i], classes, 5, &count) != HGNET_OK) {
      status = fail("cannot classify");
      continue;
    }
    printf("%s\n", argv[i]);
    for (size_t rank = 0; rank < count; rank++) {
      const char *label = classes[rank].label ? classes[rank].label : "";
      printf("  %.4f  %zu %s\n", classes[rank].score, classes[rank].index, label);
    }
  }
  hgnet_classifier_close(classifier);
  return status;
}
