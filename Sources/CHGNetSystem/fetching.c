// libcurl without its headers and without linking it: most processes never fetch anything, and a system without libcurl
// shall run everything else. Numbers of options and codes are part of libcurl's binary interface since version 7.
#include "CHGNetFetching.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

enum {
  OPTION_WRITE_DATA = 10001,
  OPTION_URL = 10002,
  OPTION_ERROR_BUFFER = 10010,
  OPTION_USER_AGENT = 10018,
  OPTION_HTTP_HEADER = 10023,
  OPTION_HEADER_DATA = 10029,
  OPTION_NO_PROGRESS = 43,
  OPTION_FOLLOW_LOCATION = 52,
  OPTION_MAXIMUM_REDIRECTIONS = 68,
  OPTION_NO_SIGNAL = 99,
  OPTION_PROGRESS_DATA = 10057,
  OPTION_PROTOCOLS = 181,
  OPTION_REDIRECTED_PROTOCOLS = 182,
  OPTION_WRITE_FUNCTION = 20011,
  OPTION_HEADER_FUNCTION = 20079,
  OPTION_TRANSFER_FUNCTION = 20219,
  PROTOCOL_HTTP = 1 << 0,
  PROTOCOL_HTTPS = 1 << 1,
  CODE_UNSUPPORTED_PROTOCOL = 1,
  CODE_URL_MALFORMED = 3,
  CODE_NO_PROXY = 5,
  CODE_NO_HOST = 6,
  CODE_NO_CONNECTION = 7,
  CODE_WRITE_ERROR = 23,
  CODE_TLS_CONNECTION = 35,
  CODE_ABORTED = 42,
  CODE_PEER_NOT_VERIFIED = 60,
  ERROR_BUFFER_SIZE = 256,
  GLOBAL_ALL = 3,
};

static struct {
  int (*global_init)(long);
  void *(*init)(void);
  int (*set)(void *, int, ...);
  int (*perform)(void *);
  void (*cleanup)(void *);
  const char *(*text)(int);
  void *(*list_append)(void *, const char *);
  void (*list_free)(void *);
  int is_there;
} curl;

static void load(void) {
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  // The name on systems that have it with GnuTLS only.
  if (!library) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  *(void **)&curl.global_init = dlsym(library, "curl_global_init");
  *(void **)&curl.init = dlsym(library, "curl_easy_init");
  *(void **)&curl.set = dlsym(library, "curl_easy_setopt");
  *(void **)&curl.perform = dlsym(library, "curl_easy_perform");
  *(void **)&curl.cleanup = dlsym(library, "curl_easy_cleanup");
  *(void **)&curl.text = dlsym(library, "curl_easy_strerror");
  *(void **)&curl.list_append = dlsym(library, "curl_slist_append");
  *(void **)&curl.list_free = dlsym(library, "curl_slist_free_all");
  if (!curl.global_init || !curl.init || !curl.set || !curl.perform || !curl.cleanup || !curl.text ||
      !curl.list_append || !curl.list_free)
    return;
  curl.is_there = curl.global_init(GLOBAL_ALL) == 0;
}

static size_t take_line(const char *line, size_t size, size_t count, void *context) {
  const hg_fetch_request *request = context;
  size_t whole = size * count, length = whole;
  while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
  return request->take_line(request->context, line, length) == 0 ? whole : 0;
}

static size_t take_bytes(const char *bytes, size_t size, size_t count, void *context) {
  const hg_fetch_request *request = context;
  return request->take_bytes(request->context, bytes, size * count) == 0 ? size * count : 0;
}

static int go_on(void *context, int64_t total, int64_t now, int64_t total_up, int64_t now_up) {
  (void)total, (void)now, (void)total_up, (void)now_up;
  const hg_fetch_request *request = context;
  return request->is_over(request->context) != 0;
}

static int meaning(int code) {
  switch (code) {
    case 0: return HG_FETCH_OK;
    case CODE_WRITE_ERROR:
    case CODE_ABORTED: return HG_FETCH_STOPPED;
    case CODE_UNSUPPORTED_PROTOCOL:
    case CODE_URL_MALFORMED:
    case CODE_NO_PROXY:
    case CODE_NO_HOST:
    case CODE_NO_CONNECTION:
    case CODE_TLS_CONNECTION:
    case CODE_PEER_NOT_VERIFIED: return HG_FETCH_UNREACHABLE;
    default: return HG_FETCH_DROPPED;
  }
}

int hg_fetch(const hg_fetch_request *request, char *message, size_t capacity) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  if (!curl.is_there) {
    snprintf(message, capacity, "libcurl.so.4 is missing; install it (apt-get install libcurl4)");
    return HG_FETCH_NO_LIBRARY;
  }
  void *handle = curl.init();
  if (!handle) {
    snprintf(message, capacity, "libcurl does not start");
    return HG_FETCH_UNREACHABLE;
  }
  char reason[ERROR_BUFFER_SIZE] = "";
  void *lines = NULL;
  for (const char *const *line = request->lines; line && *line; line++) lines = curl.list_append(lines, *line);
  curl.set(handle, OPTION_ERROR_BUFFER, reason);
  curl.set(handle, OPTION_NO_SIGNAL, 1L);
  curl.set(handle, OPTION_PROTOCOLS, (long)(PROTOCOL_HTTP | PROTOCOL_HTTPS));
  curl.set(handle, OPTION_REDIRECTED_PROTOCOLS, (long)(PROTOCOL_HTTP | PROTOCOL_HTTPS));
  curl.set(handle, OPTION_FOLLOW_LOCATION, 1L);
  curl.set(handle, OPTION_MAXIMUM_REDIRECTIONS, 16L);
  curl.set(handle, OPTION_USER_AGENT, "hgnet");
  if (lines) curl.set(handle, OPTION_HTTP_HEADER, lines);
  curl.set(handle, OPTION_HEADER_FUNCTION, take_line);
  curl.set(handle, OPTION_HEADER_DATA, request);
  curl.set(handle, OPTION_WRITE_FUNCTION, take_bytes);
  curl.set(handle, OPTION_WRITE_DATA, request);
  curl.set(handle, OPTION_NO_PROGRESS, 0L);
  curl.set(handle, OPTION_TRANSFER_FUNCTION, go_on);
  curl.set(handle, OPTION_PROGRESS_DATA, request);
  int code = curl.set(handle, OPTION_URL, request->url);
  if (code == 0) code = curl.perform(handle);
  snprintf(message, capacity, "%s", reason[0] ? reason : curl.text(code));
  curl.cleanup(handle);
  if (lines) curl.list_free(lines);
  return meaning(code);
}
