#ifndef CHGNET_SANITIZERS_H
#define CHGNET_SANITIZERS_H

/* What a caller's sanitizers are told about the library, which is not built with any of them. Each call of the first kind
 * is followed by one of the second, by the same thread. Without a sanitizer in the process they do nothing. */

/* The thread sanitizer sees none of our locks, only the memory between them, and would take that for races. */
void hg_accesses_ignore(void);
void hg_accesses_observe(void);

/* The leak sanitizer does not find pointers that Swift keeps a few bits in, and would take tables that live for ever for
 * leaks. */
void hg_leaks_ignore(void);
void hg_leaks_observe(void);

#endif
