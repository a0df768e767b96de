// Several pictures at once, embeddings, hooks and published weights of hgnet.h. Scripts/check-c-library builds and runs it
// like calls.c.
//
// usage: several WEIGHTS PICTURE
#include <unistd.h>

#include "checks.h"

static atomic_int log_lines, questions;

static void take_line(void *context, hgnet_log_level level, const char *line) {
  CHECK(context == &log_lines && level >= HGNET_LOG_INFO && level <= HGNET_LOG_WARNING && line[0] != 0);
  log_lines++;
}

// Answers with yes from the second question on.
static int32_t cancel_later(void *context) { return ++*(atomic_int *)context > 1; }

static void several(hgnet_classifier classifier) {
  enum { COUNT = 5 };
  size_t byte_count = 0, count = 0;
  void *bytes = contents(picture, &byte_count);
  static const uint8_t pixels[64 * 64 * 3];
  hgnet_picture list[COUNT] = {{.path = picture}, {.bytes = bytes, .byte_count = byte_count}, {.path = "no such picture"},
                               {.pixels = pixels, .height = 64, .width = 64}, {.path = picture}};
  hgnet_scored_class alone[CLASSES], together[COUNT][CLASSES];
  hgnet_outcome outcomes[COUNT];
  IS(HGNET_OK, hgnet_file_classify(classifier, picture, alone, CLASSES, &count));
  IS(HGNET_OK, hgnet_pictures_classify(classifier, list, COUNT, 0, together[0], CLASSES, outcomes));
  for (int i = 0; i < COUNT; i++) CHECK(outcomes[i].status == (i == 2 ? HGNET_FILE_NOT_FOUND : HGNET_OK));
  CHECK(strstr(outcomes[2].text, "no such picture") != NULL && outcomes[0].text[0] == 0);
  CHECK(same(alone, together[0], CLASSES) && same(alone, together[1], CLASSES) && same(alone, together[4], CLASSES));
  CHECK(outcomes[0].count == CLASSES);
  IS(HGNET_FILE_NOT_FOUND, hgnet_pictures_classify(classifier, list, COUNT, 0, together[0], CLASSES, NULL));
  IS(HGNET_OK, hgnet_pictures_classify(classifier, list, 2, 3, together[0], CLASSES, NULL));
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_pictures_classify(classifier, list, 2, 3, together[0], 2, NULL));
  IS(HGNET_OK, hgnet_pictures_classify(classifier, list, 2, 3, together[0], 2, outcomes));
  CHECK(outcomes[1].status == HGNET_BUFFER_TOO_SMALL && outcomes[1].count == 3);
  IS(HGNET_OK, hgnet_pictures_classify(classifier, NULL, 0, 0, NULL, 0, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_pictures_classify(classifier, NULL, 1, 0, together[0], CLASSES, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_pictures_classify(classifier, list, (size_t)-1, 0, together[0], CLASSES, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_pictures_classify(classifier, list, 2, -1, together[0], CLASSES, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_pictures_classify(classifier, list, 2, 0, NULL, CLASSES, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_pictures_classify(classifier, list, 2, 0, together[0], (size_t)-1, NULL));
  hgnet_picture two = {.path = picture, .bytes = bytes, .byte_count = byte_count}, none = {0};
  IS(HGNET_INVALID_ARGUMENT, hgnet_pictures_classify(classifier, &two, 1, 0, together[0], CLASSES, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_pictures_classify(classifier, &none, 1, 0, together[0], CLASSES, NULL));

  hgnet_description told = {.struct_size = sizeof told};
  IS(HGNET_OK, hgnet_classifier_describe(classifier, &told));
  CHECK(told.embedding_count == 2048 && told.stage_count == 4 && strstr(told.device, "cpu") != NULL);
  CHECK(told.activation == HGNET_SOFTMAX);
  double *scores = malloc(2 * told.class_count * sizeof *scores), sum = 0;
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_pictures_scores(classifier, list, 2, scores, 2 * told.class_count - 1, NULL));
  IS(HGNET_OK, hgnet_pictures_scores(classifier, list, 2, scores, 2 * told.class_count, NULL));
  for (size_t i = 0; i < told.class_count; i++) sum += scores[i];
  CHECK(fabs(sum - 1) < 1e-12 && scores[alone[0].index] == alone[0].score);
  free(scores);
  float *embeddings = malloc(3 * 2048 * sizeof *embeddings);
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_embedding(classifier, list, NULL, 0, &count));
  CHECK(count == 2048);
  IS(HGNET_OK, hgnet_embedding(classifier, list, embeddings, 2048, &count));
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_pictures_embed(classifier, list, 2, embeddings + 2048, 2 * 2048 - 1, NULL));
  IS(HGNET_OK, hgnet_pictures_embed(classifier, list, 2, embeddings + 2048, 2 * 2048, outcomes));
  CHECK(memcmp(embeddings, embeddings + 2048, 2048 * sizeof *embeddings) == 0);
  CHECK(memcmp(embeddings, embeddings + 2 * 2048, 2048 * sizeof *embeddings) == 0);
  IS(HGNET_FILE_NOT_FOUND, hgnet_embedding(classifier, list + 2, embeddings, 2048, &count));
  IS(HGNET_INVALID_ARGUMENT, hgnet_embedding(classifier, NULL, embeddings, 2048, &count));

  // Weights from memory, with and without being kept.
  hgnet_options options = hgnet_default_options();
  hgnet_classifier other;
  size_t weight_count = 0;
  void *weight_bytes = contents(weights, &weight_count);
  IS(HGNET_OK, hgnet_classifier_open_memory(weight_bytes, weight_count, &options, &other));
  IS(HGNET_INVALID_ARGUMENT, hgnet_embedding(other, list, embeddings, 2048, &count));
  IS(HGNET_OK, hgnet_classifier_close(other));
  options.keeps_features = 1;
  options.log = take_line, options.log_context = &log_lines;
  questions = 0;
  options.is_cancelled = cancel_later, options.cancel_context = &questions;
  IS(HGNET_OK, hgnet_classifier_open_memory(weight_bytes, weight_count, &options, &other));
  // An exported ONNX model carries its recipe, and nothing is assumed.
  CHECK(log_lines > 0 || strstr(weights, ".onnx"));
  IS(HGNET_OK, hgnet_embedding(other, list, embeddings, 2048, &count));
  hgnet_picture many[40];
  hgnet_scored_class best[40] = {{0, 0, NULL}};
  for (int i = 0; i < 40; i++) many[i] = list[0];
  IS(HGNET_CANCELLED, hgnet_pictures_classify(other, many, 40, 1, best, 1, NULL));
  // The pictures before the second question have their classes, the last one has none.
  CHECK(best[0].score > 0 && best[39].score == 0);
  IS(HGNET_OK, hgnet_classifier_close(other));
  options.device = "toaster";
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &other));
  CHECK(strstr(hgnet_error_text(), "cpu, gpu, gpu:N, auto or reference") != NULL);
  free(weight_bytes);
  free(embeddings);
  free(bytes);
}

static void published(void) {
  size_t count = 0, best = 0;
  hgnet_published file = {.struct_size = sizeof file};
  while (hgnet_published_describe(count, &file) == HGNET_OK) {
    CHECK(strncmp(file.file, file.model, strlen(file.model)) == 0 && strstr(file.url, file.file) != NULL);
    CHECK(file.parameter_count > 5000000 && file.multiply_adds > 100000000 && file.height == 224);
    best += (size_t)file.is_best;
    count++;
  }
  CHECK(best == 10 && count > 20);
  IS(HGNET_INVALID_ARGUMENT, hgnet_published_describe((size_t)-1, &file));
  char path[4096];
  hgnet_classifier classifier;
  setenv("XDG_CACHE_HOME", "/nonexistent", 1);
  IS(HGNET_FILE_NOT_FOUND, hgnet_published_fetch("b0", 1, NULL, path, sizeof path));
  IS(HGNET_INVALID_ARGUMENT, hgnet_published_fetch("no such model", 1, NULL, path, sizeof path));
  IS(HGNET_FILE_NOT_FOUND, hgnet_classifier_open_published("PPHGNetV2_B0", 1, NULL, &classifier));
  CHECK(strstr(hgnet_error_text(), "PPHGNetV2_B0_ssld_pretrained.pdparams") != NULL);
}

// A mirror that is a folder, with one file of weights in it: fetched once, and a damaged one is not kept.
static void mirrored(void) {
  char folder[] = "/tmp/hgnet-calls-XXXXXX", path[4096], from[4096], to[4096];
  CHECK(mkdtemp(folder) != NULL);
  size_t count = 0, length = 0;
  void *bytes = contents(weights, &count);
  hgnet_classifier classifier;
  setenv("XDG_CACHE_HOME", folder, 1);
  setenv("HGNET_WEIGHTS_URL", folder, 1);
  snprintf(from, sizeof from, "%s/PPHGNetV2_B0_ssld_pretrained.pdparams", folder);
  snprintf(to, sizeof to, "%s/hgnet/PPHGNetV2_B0_ssld_pretrained.pdparams", folder);
  hgnet_status status = hgnet_published_fetch("b0", 0, NULL, path, sizeof path);
  CHECK(status == HGNET_NETWORK_FAILURE);
  if (strstr(hgnet_error_text(), "libcurl.so.4 is missing") == NULL) {
    for (length = count / 2;; length = count) {
      FILE *file = fopen(from, "wb");
      CHECK(file && fwrite(bytes, 1, length, file) == length);
      if (file) fclose(file);
      status = hgnet_published_fetch("PPHGNetV2_B0", 0, NULL, path, sizeof path);
      CHECK(status == (length == count ? HGNET_OK : HGNET_NETWORK_FAILURE));
      if (length == count) break;
    }
    CHECK(strcmp(path, to) == 0);
    IS(HGNET_BUFFER_TOO_SMALL, hgnet_published_fetch("b0", 1, NULL, path, strlen(to)));
    IS(HGNET_OK, hgnet_classifier_open_published("b0", 1, NULL, &classifier));
    IS(HGNET_OK, hgnet_classifier_close(classifier));
  }
  unlink(from), unlink(to);
  snprintf(path, sizeof path, "%s/hgnet", folder);
  rmdir(path);
  CHECK(rmdir(folder) == 0);
  unsetenv("HGNET_WEIGHTS_URL");
  free(bytes);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s WEIGHTS PICTURE\n", argv[0]);
    return 64;
  }
  weights = argv[1], picture = argv[2];
  hgnet_options options = hgnet_default_options();
  options.threads = 2;
  hgnet_classifier classifier;
  IS(HGNET_OK, hgnet_classifier_open(weights, &options, &classifier));
  several(classifier);
  IS(HGNET_OK, hgnet_classifier_close(classifier));
  published();
  // Only a state dictionary can stand in for a published one.
  if (strstr(weights, ".pdparams")) mirrored();
  if (failures) {
    fprintf(stderr, "%d of %d checks failed\n", failures, checks);
    return 1;
  }
  printf("%d checks passed\n", checks);
  return 0;
}
