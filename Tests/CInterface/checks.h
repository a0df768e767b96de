// What the programs of this folder share.
#pragma once
#include <hgnet.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int checks, failures;

#define CHECK(condition)                                              \
  do {                                                                \
    checks++;                                                         \
    if (!(condition)) {                                               \
      failures++;                                                     \
      fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, hgnet_error_text()); \
    }                                                                 \
  } while (0)
#define IS(expected, call) CHECK((call) == (expected))

enum { CLASSES = 5 };

static const char *weights, *picture;

static void *contents(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  *count = (size_t)ftell(file);
  rewind(file);
  void *bytes = malloc(*count);
  if (bytes && fread(bytes, 1, *count, file) != *count) *count = 0;
  fclose(file);
  return bytes;
}

static int same(const hgnet_scored_class *left, const hgnet_scored_class *right, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (left[i].index != right[i].index || memcmp(&left[i].score, &right[i].score, sizeof(double)) != 0) return 0;
  return 1;
}
