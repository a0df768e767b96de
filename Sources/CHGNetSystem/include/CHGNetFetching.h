// One HTTP request with the system's libcurl, which is loaded when the first one is made.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
  HG_FETCH_OK = 0,
  // libcurl.so.4 cannot be loaded.
  HG_FETCH_NO_LIBRARY = 1,
  // There is no connection.
  HG_FETCH_UNREACHABLE = 2,
  // The connection ended early.
  HG_FETCH_DROPPED = 3,
  // A function of the caller asked for the end.
  HG_FETCH_STOPPED = 4,
};

// What is asked for, and who takes the answer. A function that gives a number other than 0 ends the transfer.
typedef struct hg_fetch_request {
  // http or https.
  const char *url;
  // Further lines of the request, such as "Range: bytes=5-"; null ends them.
  const char *const *lines;
  void *context;
  // A line of the head of an answer without its end; an empty one ends the head. Each answer of a redirection has a head.
  int32_t (*take_line)(void *context, const char *line, size_t byte_count);
  // A piece of the body.
  int32_t (*take_bytes)(void *context, const void *bytes, size_t byte_count);
  // Asked about once a second or more often.
  int32_t (*is_over)(void *context);
} hg_fetch_request;

// Makes the request; `message` (of `capacity` bytes) gets the reason of a failure. Safe to be called by several threads.
int hg_fetch(const hg_fetch_request *request, char *message, size_t capacity);
