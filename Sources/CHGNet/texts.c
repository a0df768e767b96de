// The texts of the C interface: what C does more simply than Swift, storage for each thread and texts that live for ever.
#include "CHGNetErrorText.h"
#include "hgnet.h"

static _Thread_local char error_text[2048];

const char *hgnet_error_text(void) { return error_text; }

void hg_set_error_text(const char *text, size_t byte_count) {
  if (byte_count >= sizeof error_text) {
    byte_count = sizeof error_text - 1;
    // Back to the beginning of a character of several bytes.
    while (byte_count > 0 && ((unsigned char)text[byte_count] & 0xC0) == 0x80) byte_count--;
  }
  memcpy(error_text, text, byte_count);
  error_text[byte_count] = 0;
}

const char *hgnet_version(void) { return HGNET_VERSION; }

const char *hgnet_status_name(hgnet_status status) {
  switch (status) {
    case HGNET_OK: return "HGNET_OK";
    case HGNET_FILE_NOT_FOUND: return "HGNET_FILE_NOT_FOUND";
    case HGNET_UNREADABLE_FILE: return "HGNET_UNREADABLE_FILE";
    case HGNET_MALFORMED_DATA: return "HGNET_MALFORMED_DATA";
    case HGNET_UNSUPPORTED: return "HGNET_UNSUPPORTED";
    case HGNET_UNSAFE_CONTENT: return "HGNET_UNSAFE_CONTENT";
    case HGNET_LIMIT_EXCEEDED: return "HGNET_LIMIT_EXCEEDED";
    case HGNET_PARAMETER_MISMATCH: return "HGNET_PARAMETER_MISMATCH";
    case HGNET_SHAPE_MISMATCH: return "HGNET_SHAPE_MISMATCH";
    case HGNET_INVALID_ARGUMENT: return "HGNET_INVALID_ARGUMENT";
    case HGNET_INVALID_CONFIGURATION: return "HGNET_INVALID_CONFIGURATION";
    case HGNET_INVALID_HANDLE: return "HGNET_INVALID_HANDLE";
    case HGNET_BUFFER_TOO_SMALL: return "HGNET_BUFFER_TOO_SMALL";
    case HGNET_INTERNAL_ERROR: return "HGNET_INTERNAL_ERROR";
    case HGNET_CANCELLED: return "HGNET_CANCELLED";
    case HGNET_NETWORK_FAILURE: return "HGNET_NETWORK_FAILURE";
    case HGNET_UNWRITABLE_FILE: return "HGNET_UNWRITABLE_FILE";
    case HGNET_DEVICE_FAILURE: return "HGNET_DEVICE_FAILURE";
  }
  return "unknown";
}
