// Right and wrong calls of hgnet.h, by one thread and by many. Scripts/check-c-library builds this against an installed
// library, plainly and with the address and the thread sanitizer, and runs it.
//
// usage: calls WEIGHTS PICTURE
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"

enum { THREADS = 8, ROUNDS = 4 };

static void opening(void) {
  hgnet_classifier classifier = {1};
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, NULL, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(NULL, NULL, &classifier));
  CHECK(classifier.id == 0);
  IS(HGNET_FILE_NOT_FOUND, hgnet_classifier_open("there is no such file", NULL, &classifier));
  CHECK(strstr(hgnet_error_text(), "there is no such file") != NULL);
  IS(HGNET_FILE_NOT_FOUND, hgnet_classifier_open("", NULL, &classifier));
  IS(HGNET_MALFORMED_DATA, hgnet_classifier_open(picture, NULL, &classifier));
  IS(HGNET_UNREADABLE_FILE, hgnet_classifier_open("/dev/null", NULL, &classifier));
  CHECK(hgnet_classifier_open("/", NULL, &classifier) != HGNET_OK);

  hgnet_options options = hgnet_default_options();
  options.struct_size = 0;
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
  options.struct_size = (size_t)-1;
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
  const int32_t wrong[] = {-1, INT32_MIN, 1 << 30};
  for (int i = 0; i < 3; i++) {
    options = hgnet_default_options(), options.threads = wrong[i];
    IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
    options = hgnet_default_options(), options.resize_short = wrong[i];
    IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
    options = hgnet_default_options(), options.crop_size = wrong[i];
    IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
    options = hgnet_default_options(), options.keeps_features = wrong[i];
    IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
    options = hgnet_default_options(), options.recipe = (hgnet_recipe)wrong[i];
    IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
  }
  options = hgnet_default_options(), options.top_k = -5;
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
  options = hgnet_default_options(), options.threshold = NAN;
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
  options = hgnet_default_options(), options.model = "PPHGNetV9";
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
  options = hgnet_default_options(), options.recipe_file = "no.yml";
  IS(HGNET_FILE_NOT_FOUND, hgnet_classifier_open(weights, &options, &classifier));
  options = hgnet_default_options(), options.recipe_file = picture;
  IS(HGNET_INVALID_CONFIGURATION, hgnet_classifier_open(weights, &options, &classifier));
  options = hgnet_default_options(), options.labels_file = picture;
  IS(HGNET_MALFORMED_DATA, hgnet_classifier_open(weights, &options, &classifier));

  // A program built with another header: a shorter structure, and a longer one with and without something new in it.
  struct { hgnet_options known; char later[64]; } longer = {hgnet_default_options(), {0}};
  longer.known.struct_size = sizeof longer;
  IS(HGNET_OK, hgnet_classifier_open(weights, &longer.known, &classifier));
  IS(HGNET_OK, hgnet_classifier_close(classifier));
  longer.later[5] = 1;
  IS(HGNET_UNSUPPORTED, hgnet_classifier_open(weights, &longer.known, &classifier));
  options = hgnet_default_options(), options.struct_size = offsetof(hgnet_options, recipe);
  IS(HGNET_OK, hgnet_classifier_open(weights, &options, &classifier));
  IS(HGNET_OK, hgnet_classifier_close(classifier));
}

static void memory(void) {
  size_t count = 0;
  char *bytes = contents(weights, &count);
  hgnet_classifier classifier, from_file;
  CHECK(bytes && count > 0);
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open_memory(NULL, count, NULL, &classifier));
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open_memory(bytes, (size_t)-1, NULL, &classifier));
  IS(HGNET_MALFORMED_DATA, hgnet_classifier_open_memory(bytes, 0, NULL, &classifier));
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open_program(bytes, 10, NULL, 10, NULL, &classifier));
  CHECK(hgnet_classifier_open_program(bytes, 100, bytes, 100, NULL, &classifier) != HGNET_OK);
  for (size_t length = 1; length < count; length = length * 3 + 1) {
    // Exactly as much memory as is told, so that the address sanitizer sees a byte too far.
    char *part = malloc(length);
    memcpy(part, bytes, length);
    CHECK(hgnet_classifier_open_memory(part, length, NULL, &classifier) != HGNET_OK);
    CHECK(classifier.id == 0);
    free(part);
  }
  hgnet_options options = hgnet_default_options();
  options.precision = (hgnet_precision)9;
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_open(weights, &options, &classifier));
  const hgnet_precision precisions[] = {HGNET_FLOAT32, HGNET_BFLOAT16, HGNET_PRECISION_AUTO};
  for (size_t i = 0; i < 3; i++) {
    hgnet_description description = {.struct_size = sizeof description};
    options.precision = precisions[i];
    IS(HGNET_OK, hgnet_classifier_open(weights, &options, &classifier));
    IS(HGNET_OK, hgnet_classifier_describe(classifier, &description));
    CHECK(i < 2 ? description.precision == precisions[i] : description.precision < HGNET_PRECISION_AUTO);
    IS(HGNET_OK, hgnet_classifier_close(classifier));
  }
  options = hgnet_default_options();
  options.recipe = HGNET_RECIPE_DEPLOYMENT;
  IS(HGNET_OK, hgnet_classifier_open_memory(bytes, count, &options, &classifier));
  IS(HGNET_OK, hgnet_classifier_open(weights, &options, &from_file));
  memset(bytes, 0, count);
  free(bytes);
  hgnet_scored_class first[CLASSES], second[CLASSES];
  size_t first_count = 0, second_count = 0;
  IS(HGNET_OK, hgnet_file_classify(classifier, picture, first, CLASSES, &first_count));
  IS(HGNET_OK, hgnet_file_classify(from_file, picture, second, CLASSES, &second_count));
  CHECK(first_count == CLASSES && second_count == CLASSES && same(first, second, CLASSES));
  IS(HGNET_OK, hgnet_classifier_close(classifier));
  IS(HGNET_OK, hgnet_classifier_close(from_file));
}

static void handles(void) {
  hgnet_classifier open, closed;
  IS(HGNET_OK, hgnet_classifier_open(weights, NULL, &closed));
  IS(HGNET_OK, hgnet_classifier_close(closed));
  IS(HGNET_INVALID_HANDLE, hgnet_classifier_close(closed));
  IS(HGNET_OK, hgnet_classifier_close((hgnet_classifier){0}));
  IS(HGNET_OK, hgnet_classifier_open(weights, NULL, &open));
  CHECK(open.id != closed.id);
  const hgnet_classifier wrong[] = {closed, {0}, {1}, {UINT64_MAX}, {open.id + 1}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    hgnet_scored_class classes[CLASSES];
    hgnet_description description = {.struct_size = sizeof description};
    size_t count = 77, shape[4];
    int32_t height, width;
    const char *label = "unchanged";
    float values[CLASSES] = {0};
    uint8_t pixels[3] = {0};
    IS(HGNET_INVALID_HANDLE, hgnet_classifier_describe(wrong[i], &description));
    IS(HGNET_INVALID_HANDLE, hgnet_classifier_label(wrong[i], 0, &label));
    IS(HGNET_INVALID_HANDLE, hgnet_file_classify(wrong[i], picture, classes, CLASSES, &count));
    IS(HGNET_INVALID_HANDLE, hgnet_encoded_classify(wrong[i], pixels, 3, classes, CLASSES, &count));
    IS(HGNET_INVALID_HANDLE, hgnet_pixels_classify(wrong[i], pixels, 1, 1, 0, HGNET_RGB, classes, CLASSES, &count));
    IS(HGNET_INVALID_HANDLE, hgnet_file_preprocess(wrong[i], picture, values, 5, &height, &width));
    IS(HGNET_INVALID_HANDLE, hgnet_tensor_run(wrong[i], values, 1, 1, 1, values, 5));
    IS(HGNET_INVALID_HANDLE, hgnet_tensor_features(wrong[i], values, 1, 1, 1, 0, values, 5, shape));
    CHECK(count == 77 && strcmp(label, "unchanged") == 0);
  }
  hgnet_description description = {.struct_size = 3};
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_describe(open, &description));
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_describe(open, NULL));
  description.struct_size = sizeof description;
  IS(HGNET_OK, hgnet_classifier_describe(open, &description));
  CHECK(description.class_count >= CLASSES && description.threads >= 1 && description.height > 0);
  CHECK(description.recipe_origin >= HGNET_RECIPE_GIVEN && description.recipe_origin <= HGNET_RECIPE_ASSUMED);
  const char *label;
  IS(HGNET_OK, hgnet_classifier_label(open, description.class_count - 1, &label));
  CHECK((label != NULL) == description.has_labels);
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_label(open, description.class_count, &label));
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_label(open, (size_t)-1, &label));
  IS(HGNET_INVALID_ARGUMENT, hgnet_classifier_label(open, 0, NULL));
  IS(HGNET_OK, hgnet_classifier_close(open));
}

static void pictures(hgnet_classifier classifier) {
  hgnet_scored_class classes[CLASSES], others[CLASSES];
  size_t count = 0, byte_count = 0;
  IS(HGNET_OK, hgnet_file_classify(classifier, picture, classes, CLASSES, &count));
  CHECK(count == CLASSES && classes[0].score >= classes[1].score);
  char *bytes = contents(picture, &byte_count);
  IS(HGNET_OK, hgnet_encoded_classify(classifier, bytes, byte_count, others, CLASSES, &count));
  CHECK(same(classes, others, CLASSES));
  for (size_t length = 0; length < byte_count; length = length * 2 + 1) {
    char *part = malloc(length + 1);
    memcpy(part, bytes, length);
    CHECK(hgnet_encoded_classify(classifier, part, length, others, CLASSES, &count) != HGNET_OK);
    free(part);
  }
  memset(others, 0, sizeof others);
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_file_classify(classifier, picture, others, 2, &count));
  CHECK(count == CLASSES && same(classes, others, 2) && others[2].score == 0);
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_file_classify(classifier, picture, NULL, 0, &count));
  IS(HGNET_INVALID_ARGUMENT, hgnet_file_classify(classifier, picture, NULL, CLASSES, &count));
  IS(HGNET_INVALID_ARGUMENT, hgnet_file_classify(classifier, picture, classes, (size_t)-1, &count));
  IS(HGNET_INVALID_ARGUMENT, hgnet_file_classify(classifier, picture, classes, CLASSES, NULL));
  IS(HGNET_INVALID_ARGUMENT, hgnet_file_classify(classifier, NULL, classes, CLASSES, &count));
  IS(HGNET_FILE_NOT_FOUND, hgnet_file_classify(classifier, "nothing.jpg", classes, CLASSES, &count));
  CHECK(hgnet_file_classify(classifier, weights, classes, CLASSES, &count) != HGNET_OK);
  IS(HGNET_INVALID_ARGUMENT, hgnet_encoded_classify(classifier, NULL, 10, classes, CLASSES, &count));
  IS(HGNET_INVALID_ARGUMENT, hgnet_encoded_classify(classifier, bytes, (size_t)-1, classes, CLASSES, &count));
  free(bytes);
}

static void pixels(hgnet_classifier classifier) {
  enum { HEIGHT = 61, WIDTH = 47, GAP = 5 };
  static uint8_t rgb[HEIGHT * WIDTH * 3], bgra[HEIGHT * (WIDTH * 4 + GAP)], gray[HEIGHT * WIDTH];
  for (int i = 0; i < HEIGHT * WIDTH; i++) {
    int row = i / WIDTH, column = i % WIDTH;
    uint8_t *from = rgb + i * 3, *to = bgra + row * (WIDTH * 4 + GAP) + column * 4;
    from[0] = (uint8_t)(i * 7), from[1] = (uint8_t)(row * 4), from[2] = (uint8_t)(column * 5);
    to[0] = from[2], to[1] = from[1], to[2] = from[0], to[3] = (uint8_t)i;
    gray[i] = from[0];
  }
  hgnet_scored_class classes[CLASSES], others[CLASSES];
  size_t count;
  IS(HGNET_OK, hgnet_pixels_classify(classifier, rgb, HEIGHT, WIDTH, 0, HGNET_RGB, classes, CLASSES, &count));
  IS(HGNET_OK,
     hgnet_pixels_classify(classifier, bgra, HEIGHT, WIDTH, WIDTH * 4 + GAP, HGNET_BGRA, others, CLASSES, &count));
  CHECK(same(classes, others, CLASSES));
  IS(HGNET_OK, hgnet_pixels_classify(classifier, rgb, HEIGHT, WIDTH, 0, HGNET_BGR, others, CLASSES, &count));
  CHECK(!same(classes, others, CLASSES));
  IS(HGNET_OK, hgnet_pixels_classify(classifier, gray, HEIGHT, WIDTH, WIDTH, HGNET_GRAY, others, CLASSES, &count));
#define BAD(status, ...) IS(status, hgnet_pixels_classify(classifier, __VA_ARGS__, classes, CLASSES, &count))
  BAD(HGNET_INVALID_ARGUMENT, NULL, HEIGHT, WIDTH, 0, HGNET_RGB);
  BAD(HGNET_INVALID_ARGUMENT, rgb, 0, WIDTH, 0, HGNET_RGB);
  BAD(HGNET_INVALID_ARGUMENT, rgb, HEIGHT, -1, 0, HGNET_RGB);
  BAD(HGNET_INVALID_ARGUMENT, rgb, INT32_MIN, INT32_MIN, 0, HGNET_RGB);
  BAD(HGNET_LIMIT_EXCEEDED, rgb, INT32_MAX, INT32_MAX, 0, HGNET_RGB);
  BAD(HGNET_INVALID_ARGUMENT, rgb, HEIGHT, WIDTH, WIDTH * 3 - 1, HGNET_RGB);
  BAD(HGNET_INVALID_ARGUMENT, rgb, HEIGHT, WIDTH, (size_t)-1, HGNET_RGB);
  BAD(HGNET_INVALID_ARGUMENT, rgb, HEIGHT, WIDTH, SIZE_MAX / 4, HGNET_RGB);
  BAD(HGNET_INVALID_ARGUMENT, rgb, HEIGHT, WIDTH, 0, (hgnet_pixel_format)99);
}

static void tensors(hgnet_classifier classifier, hgnet_classifier without_features) {
  hgnet_description description = {.struct_size = sizeof description};
  IS(HGNET_OK, hgnet_classifier_describe(classifier, &description));
  int32_t height = 0, width = 0;
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_file_preprocess(classifier, picture, NULL, 0, &height, &width));
  CHECK(height == description.height && width == description.width);
  size_t size = 3 * (size_t)height * (size_t)width, outputs = description.class_count;
  enum { BATCH = 17 };
  float *input = malloc(BATCH * size * sizeof *input), *logits = malloc(BATCH * outputs * sizeof *logits);
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_file_preprocess(classifier, picture, input, size - 1, &height, &width));
  IS(HGNET_OK, hgnet_file_preprocess(classifier, picture, input, size, &height, &width));
  IS(HGNET_INVALID_ARGUMENT, hgnet_file_preprocess(classifier, picture, input, size, NULL, &width));
  for (int i = 1; i < BATCH; i++) memcpy(input + i * size, input, size * sizeof *input);

  hgnet_scored_class best[CLASSES];
  size_t count;
  IS(HGNET_OK, hgnet_file_classify(classifier, picture, best, CLASSES, &count));
  IS(HGNET_OK, hgnet_tensor_run(classifier, input, BATCH, (size_t)height, (size_t)width, logits, BATCH * outputs));
  for (size_t i = 0; i < outputs; i++) CHECK(logits[best[0].index] >= logits[i]);
  for (int i = 1; i < BATCH; i++) CHECK(memcmp(logits, logits + i * outputs, outputs * sizeof *logits) == 0);

#define RUN(status, ...) IS(status, hgnet_tensor_run(classifier, __VA_ARGS__))
  RUN(HGNET_INVALID_ARGUMENT, NULL, 1, 224, 224, logits, outputs);
  RUN(HGNET_INVALID_ARGUMENT, input, 0, 224, 224, logits, outputs);
  RUN(HGNET_INVALID_ARGUMENT, input, (size_t)-1, 224, 224, logits, outputs);
  RUN(HGNET_INVALID_ARGUMENT, input, 1, SIZE_MAX / 3, 3, logits, outputs);
  RUN(HGNET_INVALID_ARGUMENT, input, 1, 224, 224, NULL, outputs);
  RUN(HGNET_BUFFER_TOO_SMALL, input, 1, 224, 224, logits, outputs - 1);
  RUN(HGNET_BUFFER_TOO_SMALL, input, 65536, 224, 224, logits, outputs);
  CHECK(hgnet_tensor_run(classifier, input, 1, 1, 1, logits, outputs) != HGNET_INTERNAL_ERROR);
  CHECK(hgnet_tensor_run(classifier, input, 1, 65536, 65536, NULL, 0) != HGNET_OK);

  size_t shape[4] = {0};
  for (int stage = 0; stage < 4; stage++) {
    IS(HGNET_BUFFER_TOO_SMALL,
       hgnet_tensor_features(classifier, input, 2, (size_t)height, (size_t)width, stage, NULL, 0, shape));
    size_t needed = shape[0] * shape[1] * shape[2] * shape[3];
    CHECK(shape[0] == 2 && shape[2] * (4u << stage) >= (size_t)height && needed > 0);
    float *features = malloc(needed * sizeof *features);
    IS(HGNET_BUFFER_TOO_SMALL,
       hgnet_tensor_features(classifier, input, 2, (size_t)height, (size_t)width, stage, features, needed - 1, shape));
    IS(HGNET_OK,
       hgnet_tensor_features(classifier, input, 2, (size_t)height, (size_t)width, stage, features, needed, shape));
    CHECK(memcmp(features, features + needed / 2, needed / 2 * sizeof *features) == 0);
    free(features);
  }
  IS(HGNET_INVALID_ARGUMENT, hgnet_tensor_features(classifier, input, 1, 224, 224, 4, NULL, 0, shape));
  IS(HGNET_INVALID_ARGUMENT, hgnet_tensor_features(classifier, input, 1, 224, 224, -1, NULL, 0, shape));
  IS(HGNET_INVALID_ARGUMENT, hgnet_tensor_features(classifier, input, 1, 224, 224, 0, NULL, 0, NULL));
  // Of weights from a file they are compiled with the first call.
  IS(HGNET_BUFFER_TOO_SMALL, hgnet_tensor_features(without_features, input, 1, 224, 224, 0, NULL, 0, shape));
  free(input);
  free(logits);
}

// What was opened is given back: tables are made once, everything else goes with its classifier.
static void leaks(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  hgnet_options options = hgnet_default_options();
  options.threads = 2, options.keeps_features = 1;
  size_t before = 0;
  for (int round = 0; round < 12; round++) {
    hgnet_classifier classifier;
    hgnet_scored_class classes[CLASSES];
    size_t count;
    IS(HGNET_OK, hgnet_classifier_open(weights, &options, &classifier));
    IS(HGNET_OK, hgnet_file_classify(classifier, picture, classes, CLASSES, &count));
    IS(HGNET_OK, hgnet_classifier_close(classifier));
    if (round == 3) before = mallinfo2().uordblks;
  }
  size_t after = mallinfo2().uordblks;
  CHECK(after < before + 20000);
#endif
}

// ---- Several threads ----

struct shared {
  hgnet_classifier classifier, closed_meanwhile;
  hgnet_scored_class expected[CLASSES];
};

static void *work(void *argument) {
  const struct shared *shared = argument;
  hgnet_scored_class classes[CLASSES];
  size_t count;
  CHECK(hgnet_error_text()[0] == 0);
  for (int round = 0; round < ROUNDS; round++) {
    IS(HGNET_OK, hgnet_file_classify(shared->classifier, picture, classes, CLASSES, &count));
    CHECK(count == CLASSES && same(classes, shared->expected, CLASSES));
    char name[32];
    snprintf(name, sizeof name, "missing-%p.jpg", (void *)&name);
    IS(HGNET_FILE_NOT_FOUND, hgnet_file_classify(shared->classifier, name, classes, CLASSES, &count));
    CHECK(strstr(hgnet_error_text(), name) != NULL);
    hgnet_status status = hgnet_file_classify(shared->closed_meanwhile, picture, classes, CLASSES, &count);
    CHECK(status == HGNET_OK || status == HGNET_INVALID_HANDLE);
  }
  hgnet_options options = hgnet_default_options();
  options.threads = 1;
  hgnet_classifier own;
  IS(HGNET_OK, hgnet_classifier_open(weights, &options, &own));
  IS(HGNET_OK, hgnet_file_classify(own, picture, classes, CLASSES, &count));
  CHECK(same(classes, shared->expected, CLASSES));
  IS(HGNET_OK, hgnet_classifier_close(own));
  return NULL;
}

static void threads(hgnet_classifier classifier) {
  struct shared shared = {.classifier = classifier};
  size_t count;
  IS(HGNET_OK, hgnet_file_classify(classifier, picture, shared.expected, CLASSES, &count));
  IS(HGNET_OK, hgnet_classifier_open(weights, NULL, &shared.closed_meanwhile));
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, &shared);
  IS(HGNET_OK, hgnet_classifier_close(shared.closed_meanwhile));
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

#if defined(__SANITIZE_THREAD__)
// The sanitizer does not let a child of a process with threads start others.
static void forks(hgnet_classifier classifier) { (void)classifier; }
#else
#if !defined(__SANITIZE_ADDRESS__)
static _Atomic int stop;

static void *keep_busy(void *argument) {
  hgnet_classifier classifier = *(hgnet_classifier *)argument;
  hgnet_scored_class classes[CLASSES];
  size_t count;
  while (!stop) IS(HGNET_OK, hgnet_file_classify(classifier, picture, classes, CLASSES, &count));
  return NULL;
}
#endif

// In a child a classifier of the parent gives the same answer; one that was busy may be refused, but at once.
static void fork_once(hgnet_classifier classifier, const hgnet_scored_class *expected, int is_idle) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60);
    hgnet_scored_class classes[CLASSES];
    size_t count;
    for (int i = 0; i < 2; i++) {
      hgnet_status status = hgnet_file_classify(classifier, picture, classes, CLASSES, &count);
      if (status == HGNET_OK ? !same(classes, expected, CLASSES) : is_idle || status != HGNET_UNSUPPORTED) _exit(1);
    }
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forks(hgnet_classifier classifier) {
  hgnet_scored_class expected[CLASSES];
  size_t count;
  IS(HGNET_OK, hgnet_file_classify(classifier, picture, expected, CLASSES, &count));
  for (int i = 0; i < 3; i++) fork_once(classifier, expected, 1);
#if !defined(__SANITIZE_ADDRESS__)
  // AddressSanitizer's allocator of GCC 12 keeps its locks over a fork: a child waits for a thread that it lacks.
  pthread_t busy;
  pthread_create(&busy, NULL, keep_busy, &classifier);
  for (int i = 0; i < 5; i++) {
    usleep(10000);
    fork_once(classifier, expected, 0);
  }
  stop = 1;
  pthread_join(busy, NULL);
  fork_once(classifier, expected, 1);
#endif
}
#endif

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s WEIGHTS PICTURE\n", argv[0]);
    return 64;
  }
  weights = argv[1], picture = argv[2];
  CHECK(strcmp(hgnet_version(), HGNET_VERSION) == 0);
  CHECK(strcmp(hgnet_status_name(HGNET_INVALID_HANDLE), "HGNET_INVALID_HANDLE") == 0);
  CHECK(strcmp(hgnet_status_name((hgnet_status)1234), "unknown") == 0);
  CHECK(hgnet_error_text()[0] == 0);
  opening();
  memory();
  handles();
  hgnet_options options = hgnet_default_options();
  options.keeps_features = 1;
  options.top_k = CLASSES;
  hgnet_classifier classifier, plain;
  IS(HGNET_OK, hgnet_classifier_open(weights, &options, &classifier));
  options.keeps_features = 0;
  IS(HGNET_OK, hgnet_classifier_open(weights, &options, &plain));
  leaks();
  pictures(classifier);
  pixels(classifier);
  tensors(classifier, plain);
  threads(plain);
  forks(plain);
  IS(HGNET_OK, hgnet_classifier_close(classifier));
  IS(HGNET_OK, hgnet_classifier_close(plain));
  if (failures) {
    fprintf(stderr, "%d of %d checks failed\n", failures, checks);
    return 1;
  }
  printf("%d checks passed\n", checks);
  return 0;
}
