/*
 * hgnet.h: classifies pictures with PP-HGNetV2 and PP-HGNet networks, from C and from whatever can call C.
 *
 *   hgnet_classifier classifier;
 *   hgnet_scored_class classes[5];
 *   size_t count;
 *   if (hgnet_classifier_open("inference", NULL, &classifier) != HGNET_OK ||
 *       hgnet_file_classify(classifier, "photo.jpg", classes, 5, &count) != HGNET_OK) {
 *     fprintf(stderr, "%s\n", hgnet_error_text());
 *     return 1;
 *   }
 *   for (size_t i = 0; i < count; i++) printf("%.4f %s\n", classes[i].score, classes[i].label);
 *   hgnet_classifier_close(classifier);
 *
 * Statuses. Every function that can fail returns a status, HGNET_OK or a reason, and never ends the process on account of
 * its arguments. hgnet_error_text says what was expected, what was found and how to mend it. After a failure the
 * results are as they were before the call, unless a function says otherwise.
 *
 * Ownership. The library copies what it is given: paths, options, weights and pictures need not outlive the call. It
 * hands out no memory to be freed. Texts that it hands out belong to it; how long they live is said where they are.
 *
 * Threads. Every function may be called by any thread at any time. One classifier may be used by several threads at
 * once: pictures are decoded side by side, and the network, which uses all threads of the classifier by itself, is run
 * for one call after the other. The answers do not depend on the number of threads.
 *
 * Processes. A child that was made with fork may use the classifiers of its parent: its first call starts threads of its
 * own, and the answers are the same. Where another thread of the parent was in a call with the classifier at that moment,
 * that work stays unfinished in the child, and the call returns HGNET_UNSUPPORTED at once: open the weights again there,
 * or fork before they are used. A classifier on a GPU is of the process that opened it.
 *
 * Memory. What a call will need is computed first and compared with what the process may have; a call that would need
 * more returns HGNET_LIMIT_EXCEEDED, and the text says how much, for what, and what would fit.
 *
 * Hooks. A hook may be called by any thread, until the function that caused the call returns; it may call the library, but
 * not with the classifier that is being opened or used.
 *
 * Mistakes. A null pointer, a size that does not fit, a handle that was closed or never opened give
 * HGNET_INVALID_ARGUMENT or HGNET_INVALID_HANDLE. What no library can notice remains the caller's: a pointer into
 * memory that is not there, or a size larger than the memory behind a pointer. A file that another program shortens
 * while it is being read, or weights while their classifier is open, may end the process: replace files by renaming.
 *
 * Environment. HGNET_NUM_THREADS limits the number of threads that is chosen where the options leave it open.
 * HGNET_MEMORY_LIMIT, in MiB, says what the process may have in place of what the machine and its control group say;
 * HGNET_MAX_PIXELS, in millions, how many pixels a picture may have.
 */
#ifndef HGNET_H
#define HGNET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header; hgnet_version is that of the library. */
#define HGNET_VERSION "0.2.0"

/* How a call ended. The numbers are part of the interface. */
typedef enum hgnet_status {
  HGNET_OK = 0,
  HGNET_FILE_NOT_FOUND = 1,        /* a file or folder does not exist */
  HGNET_UNREADABLE_FILE = 2,       /* a file exists but cannot be opened or read */
  HGNET_MALFORMED_DATA = 3,        /* weights or a picture are damaged, or of another format */
  HGNET_UNSUPPORTED = 4,           /* well formed, but not something that the library does */
  HGNET_UNSAFE_CONTENT = 5,        /* weights that would run code when they are unpickled */
  HGNET_LIMIT_EXCEEDED = 6,        /* larger than can be handled, or than memory allows */
  HGNET_PARAMETER_MISMATCH = 7,    /* weights that do not belong to the network */
  HGNET_SHAPE_MISMATCH = 8,        /* a picture or tensor of a size that does not fit */
  HGNET_INVALID_ARGUMENT = 9,      /* a null pointer, or a value out of its range */
  HGNET_INVALID_CONFIGURATION = 10, /* a recipe file with an unknown key or a wrong value */
  HGNET_INVALID_HANDLE = 11,       /* a classifier that is closed or was never opened */
  HGNET_BUFFER_TOO_SMALL = 12,     /* the caller's memory does not hold the result; the size needed is told */
  HGNET_INTERNAL_ERROR = 13,       /* a mistake in the library; please report it */
  HGNET_CANCELLED = 14,            /* the cancel hook asked for the end */
  HGNET_NETWORK_FAILURE = 15,      /* published weights cannot be fetched */
  HGNET_UNWRITABLE_FILE = 16,      /* a file cannot be written completely */
  HGNET_DEVICE_FAILURE = 17        /* a GPU that is not there, cannot be used or failed */
} hgnet_status;

/* An open classifier: weights, the recipe that belongs to them, threads. A value to be copied freely, not a pointer;
 * all zero is no classifier. A number is never given out twice, so that a stale copy is noticed. */
typedef struct hgnet_classifier {
  uint64_t id;
} hgnet_classifier;

/* How pictures become input where no file says so. */
typedef enum hgnet_recipe {
  HGNET_RECIPE_OF_WEIGHTS = 0, /* inference.yml beside or inside an exported model, config.yaml beside trained weights;
                                  where there is none HGNET_RECIPE_EVALUATION, at the size that the model declares;
                                  hgnet_classifier_describe tells which it was */
  HGNET_RECIPE_EVALUATION = 1, /* as PaddleClas evaluates: short side 232, Pillow's bicubic, centre crop 224 */
  HGNET_RECIPE_DEPLOYMENT = 2  /* as PaddleClas deploys: short side 256, OpenCV's bilinear, centre crop 224 */
} hgnet_recipe;

/* Where a classifier's recipe comes from. */
typedef enum hgnet_recipe_origin {
  HGNET_RECIPE_UNTOLD = 0,    /* the library is older than this member */
  HGNET_RECIPE_GIVEN = 1,     /* the options chose it */
  HGNET_RECIPE_BESIDE = 2,    /* a file beside the weights */
  HGNET_RECIPE_INSIDE = 3,    /* the file of weights carries it */
  HGNET_RECIPE_PUBLISHED = 4, /* the weights are published ones */
  HGNET_RECIPE_ASSUMED = 5    /* none was found: PaddleClas' evaluation is assumed */
} hgnet_recipe_origin;

/* What a network computes with. */
typedef enum hgnet_precision {
  HGNET_FLOAT32 = 0,
  HGNET_BFLOAT16 = 1,      /* weights and activations of 16 bits, sums in float32; logits about 5e-3 of the largest away */
  HGNET_INT8 = 2,          /* bytes, for weights that `hgnet quantize` has made */
  HGNET_PRECISION_AUTO = 3, /* the fastest that the device has for the weights */
  HGNET_FLOAT16 = 4        /* weights and activations of 16 bits, on a GPU only; logits about 1e-3 of the largest away */
} hgnet_precision;

/* How important a line of the log is. */
typedef enum hgnet_log_level {
  HGNET_LOG_INFO = 0,   /* what was found or is being done */
  HGNET_LOG_WARNING = 1 /* something that was passed over or assumed, and that somebody may not expect */
} hgnet_log_level;

/* Receives one line in UTF-8, without a line feed; the text lives for the call. */
typedef void (*hgnet_log_hook)(void *context, hgnet_log_level level, const char *line);

/* Says by a number other than 0 that the work is no longer wanted; asked between pieces of it. */
typedef int32_t (*hgnet_cancel_hook)(void *context);

/* Choices for opening. Everything zero, except the size, is a good choice: see hgnet_default_options. */
typedef struct hgnet_options {
  size_t struct_size;      /* sizeof(hgnet_options) */
  int32_t threads;         /* 1 to 1024; 0 for as many as the process may use */
  hgnet_recipe recipe;     /* how pictures become input */
  const char *recipe_file; /* YAML with PreProcess.transform_ops or Infer.transforms; comes before `recipe` */
  const char *labels_file; /* lines "index name" from 0; comes before the labels of the recipe; names that cannot be
                              those of the classes are HGNET_MALFORMED_DATA */
  const char *model;       /* such as "PPHGNetV2_B4"; NULL to recognise it by the weights */
  int32_t resize_short;    /* the shorter side of a picture before the crop, in pixels; 0 for the recipe's */
  int32_t crop_size;       /* the square that is cut out, in pixels; 0 for the recipe's */
  int32_t top_k;           /* how many classes are told; 0 for the recipe's */
  int32_t keeps_features;  /* 1 so that embeddings and features can be taken of weights that are opened from memory, whose
                              bytes are then kept; of a file they always can. The first such call compiles what it
                              needs: from then on the weights are in memory twice */
  double threshold;        /* tell every class whose score reaches this; 0 for the recipe's choice. Scores are those of
                              the weights' own head: softmax, or sigmoid for several labels a picture */
  hgnet_precision precision; /* what the network computes with */
  const char *device;        /* "cpu", "gpu", "gpu:N" as `hgnet devices` counts, or "auto"; NULL for the processor */
  hgnet_log_hook log;        /* receives what is noticed while the weights are opened; NULL for nobody */
  void *log_context;         /* handed to it */
  hgnet_cancel_hook is_cancelled; /* asked in functions that take several pictures, before each few of them; may be NULL */
  void *cancel_context;      /* handed to it; must live until the classifier is closed */
} hgnet_options;

/* The options that leave every choice to the library. */
static inline hgnet_options hgnet_default_options(void) {
  hgnet_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

/* What turns logits into scores. */
typedef enum hgnet_activation {
  HGNET_ACTIVATION_UNTOLD = 0,
  HGNET_SOFTMAX = 1,   /* scores that add up to 1 */
  HGNET_SIGMOID = 2,   /* a score for each class on its own: several labels a picture */
  HGNET_NO_ACTIVATION = 3
} hgnet_activation;

/* What a classifier turned out to be. */
typedef struct hgnet_description {
  size_t struct_size;       /* sizeof(hgnet_description), set by the caller */
  char model[64];           /* such as "PPHGNetV2_B4"; empty for an inference model, which brings its own network */
  size_t class_count;       /* how many logits a picture gives */
  int32_t has_labels;       /* 1 when the classes have names */
  int32_t threads;          /* how many threads run the network */
  int32_t height, width;    /* of a picture after the recipe, in pixels */
  hgnet_recipe_origin recipe_origin; /* where the recipe was found */
  hgnet_precision precision;         /* what the network computes with, never HGNET_PRECISION_AUTO */
  size_t embedding_count;            /* how many values an embedding has; 0 for a network without */
  hgnet_activation activation;       /* what turns the logits into scores */
  hgnet_activation file_activation;  /* what an inference or ONNX model itself does with its logits; untold for weights */
  int32_t stage_count;               /* how many stages hgnet_tensor_features knows */
  char device[64];                   /* what runs the network, in words, such as "cpu, avx512, 2 threads" */
} hgnet_description;

/* A class with its score for one picture. */
typedef struct hgnet_scored_class {
  size_t index;      /* from 0 */
  double score;      /* a probability, 0 to 1, unless the model was exported without one */
  const char *label; /* UTF-8; NULL when the classes have no names; lives until the classifier is closed */
} hgnet_scored_class;

/* What became of one picture of several. */
typedef struct hgnet_outcome {
  hgnet_status status; /* HGNET_OK, or why this picture has no result */
  size_t count;        /* hgnet_pictures_classify: how many classes there are */
  char text[240];      /* as hgnet_error_text, about this picture; empty for HGNET_OK */
} hgnet_outcome;

/* The order of the bytes of a pixel, 8 bits each; alpha is not looked at. */
typedef enum hgnet_pixel_format {
  HGNET_RGB = 0,
  HGNET_BGR = 1,
  HGNET_RGBA = 2,
  HGNET_BGRA = 3,
  HGNET_GRAY = 4
} hgnet_pixel_format;

/* A picture: one of `path`, `bytes` and `pixels`; the other two are NULL. All zero but that is a good beginning. */
typedef struct hgnet_picture {
  const char *path;          /* a JPEG, PNG, WebP or BMP file */
  const void *bytes;         /* the bytes of such a file */
  size_t byte_count;         /* how many they are */
  const uint8_t *pixels;     /* as of hgnet_pixels_classify, as are the four members below */
  int32_t height, width;
  size_t bytes_per_row;
  hgnet_pixel_format format;
} hgnet_picture;

/* A file of published weights; see hgnet_published_describe. */
typedef struct hgnet_published {
  size_t struct_size;        /* sizeof(hgnet_published), set by the caller */
  char file[96];             /* its name, such as "PPHGNetV2_B0_ssld_pretrained.pdparams" */
  char model[64];            /* such as "PPHGNetV2_B0" */
  char url[256];             /* where it is fetched from; HGNET_WEIGHTS_URL may name another place */
  int32_t is_inference_model; /* 1 for the .tar of a Paddle inference model, 0 for weights */
  int32_t is_best;           /* 1 for the file that the name of the model alone stands for */
  double top1, top5;         /* accuracy on ImageNet-1k in percent, as PaddleClas' page has it; 0 without a figure */
  uint64_t parameter_count;  /* what training changes */
  uint64_t multiply_adds;    /* for one picture of the size below */
  int32_t height, width;     /* of a picture, in pixels */
} hgnet_published;

/* The version of the library, such as "0.2.0". The text lives for ever. */
const char *hgnet_version(void);

/* The name of a status, such as "HGNET_FILE_NOT_FOUND", or "unknown". The text lives for ever. */
const char *hgnet_status_name(hgnet_status status);

/* One line in UTF-8 about the last failure of a call by this thread; empty before the first. The text lives until the
 * thread's next failure or its end. */
const char *hgnet_error_text(void);

/* ---- Opening and closing ---- */

/* Opens weights: .pdparams, .safetensors, a PyTorch checkpoint, an ONNX model, or a Paddle inference model as a folder, a
 * file or a .tar. Only what lies on this machine; nothing is fetched.
 *
 *   path        the file or folder
 *   options     NULL for hgnet_default_options()
 *   classifier  receives the handle, or zero after a failure
 *
 * Takes time and memory in the order of the weights. */
hgnet_status hgnet_classifier_open(const char *path, const hgnet_options *options, hgnet_classifier *classifier);

/* Opens the bytes of a whole file: every format above but a folder. The recipe is the one inside an ONNX or safetensors
 * file that `hgnet export` wrote or inside a .tar, or that of the options. */
hgnet_status hgnet_classifier_open_memory(
    const void *bytes, size_t byte_count, const hgnet_options *options, hgnet_classifier *classifier);

/* Opens the bytes of the two files of a Paddle inference model: inference.json or inference.pdmodel, and
 * inference.pdiparams. */
hgnet_status hgnet_classifier_open_program(
    const void *program, size_t program_byte_count, const void *parameters, size_t parameters_byte_count,
    const hgnet_options *options, hgnet_classifier *classifier);

/* Opens published weights, which are fetched once into $XDG_CACHE_HOME/hgnet or ~/.cache/hgnet.
 *
 *   name        a model, such as "PPHGNetV2_B4" or "b4", for its most accurate weights, or the name of a published file
 *   is_offline  1 to never use the network: weights that were not fetched before are then HGNET_FILE_NOT_FOUND
 *
 * Fetching takes libcurl.so.4, which is loaded only then. `options->log` is told about it, `options->is_cancelled` is asked
 * meanwhile; what has come stays, and the next call continues. HGNET_WEIGHTS_URL names a mirror: an address (http, https
 * or file) or a folder. */
hgnet_status hgnet_classifier_open_published(
    const char *name, int32_t is_offline, const hgnet_options *options, hgnet_classifier *classifier);

/* Closes a classifier. Calls of other threads that are under way end normally; its memory goes with the last of them.
 * Labels that were handed out are gone. Closing zero does nothing; closing twice gives HGNET_INVALID_HANDLE. */
hgnet_status hgnet_classifier_close(hgnet_classifier classifier);

/* Tells what a classifier is. `description->struct_size` must have been set. */
hgnet_status hgnet_classifier_describe(hgnet_classifier classifier, hgnet_description *description);

/* The name of a class; `*label` is NULL when the classes have no names. Lives until the classifier is closed. */
hgnet_status hgnet_classifier_label(hgnet_classifier classifier, size_t index, const char **label);

/* ---- Pictures to classes ----
 *
 *   classes   receives the classes that the recipe chooses: the best first, or with a threshold in order of index
 *   capacity  how many `classes` has room for; with 0 it may be NULL
 *   count     receives how many there are
 *
 * When there are more than `capacity`, the first ones are written and the status is HGNET_BUFFER_TOO_SMALL. */

/* Classifies a JPEG, PNG, WebP or BMP file. */
hgnet_status hgnet_file_classify(
    hgnet_classifier classifier, const char *path, hgnet_scored_class *classes, size_t capacity, size_t *count);

/* Classifies the bytes of such a file. */
hgnet_status hgnet_encoded_classify(
    hgnet_classifier classifier, const void *bytes, size_t byte_count, hgnet_scored_class *classes, size_t capacity,
    size_t *count);

/* Classifies pixels.
 *
 *   pixels          rows from top to bottom, pixels from left to right
 *   height, width   1 or more, at most 2^30 pixels in all
 *   bytes_per_row   the distance between the beginnings of two rows; 0 for rows without gaps
 *   format          the bytes of a pixel */
hgnet_status hgnet_pixels_classify(
    hgnet_classifier classifier, const uint8_t *pixels, int32_t height, int32_t width, size_t bytes_per_row,
    hgnet_pixel_format format, hgnet_scored_class *classes, size_t capacity, size_t *count);

/* ---- Several pictures ----
 *
 * They are decoded side by side and run through the network together, which takes 0.5 to 0.9 of the time of one after the
 * other. A picture that cannot be used does not harm the others: the status is HGNET_OK, and its outcome says why. The
 * results do not depend on which pictures come together. Another status concerns all of them, and then the outcomes are as
 * they were; after HGNET_CANCELLED some results may have been written.
 *
 *   pictures       `picture_count` of them, files, encoded ones and pixels in any mixture; with 0 it may be NULL
 *   outcomes       receives one for each picture; NULL for nobody, and then one bad picture is an error of the call */

/* Classifies pictures.
 *
 *   top_k     how many classes are told, the best first; 0 for the recipe's choice, as in hgnet_file_classify
 *   classes   receives [picture_count][capacity]: the classes of a picture at its beginning, the rest is left as it was
 *   capacity  how many classes there is room for, for each picture; a picture that has more gets HGNET_BUFFER_TOO_SMALL as
 *             its outcome, and its first ones */
hgnet_status hgnet_pictures_classify(
    hgnet_classifier classifier, const hgnet_picture *pictures, size_t picture_count, int32_t top_k,
    hgnet_scored_class *classes, size_t capacity, hgnet_outcome *outcomes);

/* Gives the scores of all classes.
 *
 *   scores    receives float64 [picture_count, class_count]; the row of a picture without a result is left as it was
 *   capacity  how many doubles there is room for */
hgnet_status hgnet_pictures_scores(
    hgnet_classifier classifier, const hgnet_picture *pictures, size_t picture_count, double *scores, size_t capacity,
    hgnet_outcome *outcomes);

/* Gives the embeddings: what the last layer of the classifier reads, for search by similarity.
 *
 *   embeddings  receives float32 [picture_count, embedding_count]; the row of a picture without a result is left as it was
 *   capacity    how many floats there is room for */
hgnet_status hgnet_pictures_embed(
    hgnet_classifier classifier, const hgnet_picture *pictures, size_t picture_count, float *embeddings, size_t capacity,
    hgnet_outcome *outcomes);

/* Gives the embedding of one picture: the same as hgnet_pictures_embed with one.
 *
 *   embedding  receives float32 [embedding_count]
 *   capacity   how many floats there is room for; with 0 `embedding` may be NULL
 *   count      receives embedding_count, also when there is not enough room: HGNET_BUFFER_TOO_SMALL */
hgnet_status hgnet_embedding(
    hgnet_classifier classifier, const hgnet_picture *picture, float *embedding, size_t capacity, size_t *count);

/* ---- Pictures to tensors ----
 *
 * Decodes, resizes, crops and normalises a picture: exactly what the network sees of it.
 *
 *   tensor         receives float32 [3, height, width], red, green, blue
 *   capacity       how many floats `tensor` has room for; with 0 it may be NULL
 *   height, width  receive the size
 *
 * When there is not enough room nothing but the size is written and the status is HGNET_BUFFER_TOO_SMALL. */

hgnet_status hgnet_file_preprocess(
    hgnet_classifier classifier, const char *path, float *tensor, size_t capacity, int32_t *height, int32_t *width);

hgnet_status hgnet_encoded_preprocess(
    hgnet_classifier classifier, const void *bytes, size_t byte_count, float *tensor, size_t capacity, int32_t *height,
    int32_t *width);

hgnet_status hgnet_pixels_preprocess(
    hgnet_classifier classifier, const uint8_t *pixels, int32_t pixel_height, int32_t pixel_width, size_t bytes_per_row,
    hgnet_pixel_format format, float *tensor, size_t capacity, int32_t *height, int32_t *width);

/* ---- Tensors ----
 *
 *   input                 float32 [batch, 3, height, width] in C order, normalised as the recipe does it
 *   batch, height, width  1 to 65536 each; the network needs pictures of at least about 32 pixels */

/* Runs the network on a tensor.
 *
 *   logits    receives float32 [batch, class_count]; no softmax
 *   capacity  how many floats `logits` has room for, at least batch times class_count */
hgnet_status hgnet_tensor_run(
    hgnet_classifier classifier, const float *input, size_t batch, size_t height, size_t width, float *logits,
    size_t capacity);

/* Takes the result of one of the four stages. Weights from memory must have been opened with keeps_features.
 *
 *   stage     0 to 3: one value for 4, 8, 16 or 32 pixels of the input
 *   features  receives float32 [batch, channels, rows, columns]
 *   capacity  how many floats `features` has room for; with 0 it may be NULL
 *   shape     receives the four extents, also when there is not enough room: HGNET_BUFFER_TOO_SMALL */
hgnet_status hgnet_tensor_features(
    hgnet_classifier classifier, const float *input, size_t batch, size_t height, size_t width, int32_t stage,
    float *features, size_t capacity, size_t shape[4]);

/* ---- Published weights ---- */

/* Tells about a published file.
 *
 *   index      from 0; a model's weights come before its inference models, the most accurate last
 *   published  receives it; its `struct_size` must have been set
 *
 * An index behind the last one gives HGNET_INVALID_ARGUMENT. */
hgnet_status hgnet_published_describe(size_t index, hgnet_published *published);

/* Finds a published file, and fetches it where it is not there yet; see hgnet_classifier_open_published.
 *
 *   options     NULL, or hooks; the other members have no effect
 *   path        receives where it lies, ended by a zero byte
 *   capacity    how many bytes there is room for */
hgnet_status hgnet_published_fetch(
    const char *name, int32_t is_offline, const hgnet_options *options, char *path, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif /* HGNET_H */
