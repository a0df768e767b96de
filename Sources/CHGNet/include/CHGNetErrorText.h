#ifndef CHGNET_ERROR_TEXT_H
#define CHGNET_ERROR_TEXT_H

#include <stddef.h>

/* Keeps UTF-8 as this thread's error text; what does not fit is cut off between two characters. */
void hg_set_error_text(const char *text, size_t byte_count);

#endif
