// Lets what is linked on a system with a new glibc start on one with glibc 2.27: functions that got a new version since then
// are taken in the version that they had before, which every newer glibc still has.
//
// This object comes before the C library in the link, so that its hidden functions stand for those of the system.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define BASE "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define BASE "GLIBC_2.17"
#endif

#define HIDDEN __attribute__((visibility("hidden")))
#define OLD(name) __asm__(".symver old_" #name "," #name "@" BASE)

// The codecs of Debian are compiled for programs, which may copy this out of the C library; see Scripts/portable-parts.
HIDDEN FILE *hg_codec_stderr;
__attribute__((constructor)) static void set(void) { hg_codec_stderr = stderr; }

// Since 2.32. Told that there are several threads, libstdc++ counts references as it always did.
HIDDEN char __libc_single_threaded = 0;

// Since 2.33; before, they were inline. The kernel's structure is the C library's on processors of 64 bits.
HIDDEN int stat(const char *path, struct stat *status) {
  return (int)syscall(SYS_newfstatat, AT_FDCWD, path, status, 0);
}
HIDDEN int lstat(const char *path, struct stat *status) {
  return (int)syscall(SYS_newfstatat, AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
HIDDEN int fstat(int descriptor, struct stat *status) { return (int)syscall(SYS_fstat, descriptor, status); }
HIDDEN int fstatat(int folder, const char *path, struct stat *status, int flags) {
  return (int)syscall(SYS_newfstatat, folder, path, status, flags);
}

// New versions since 2.34, when libpthread and libdl became a part of libc.
#define FORWARD(result, name, parameters, arguments) \
  result old_##name parameters;                      \
  OLD(name);                                         \
  HIDDEN result name parameters { return old_##name arguments; }

FORWARD(int, pthread_create,
        (pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument),
        (thread, attributes, start, argument))
FORWARD(int, pthread_join, (pthread_t thread, void **result), (thread, result))
FORWARD(int, pthread_detach, (pthread_t thread), (thread))
FORWARD(int, pthread_once, (pthread_once_t *once, void (*body)(void)), (once, body))
FORWARD(int, pthread_key_create, (pthread_key_t *key, void (*end)(void *)), (key, end))
FORWARD(int, pthread_key_delete, (pthread_key_t key), (key))
FORWARD(void *, pthread_getspecific, (pthread_key_t key), (key))
FORWARD(int, pthread_setspecific, (pthread_key_t key, const void *value), (key, value))
FORWARD(int, pthread_kill, (pthread_t thread, int number), (thread, number))
FORWARD(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))
FORWARD(int, pthread_attr_setstacksize, (pthread_attr_t *attributes, size_t size), (attributes, size))
FORWARD(int, pthread_attr_getstacksize, (const pthread_attr_t *attributes, size_t *size), (attributes, size))
FORWARD(int, pthread_mutexattr_settype, (pthread_mutexattr_t *attributes, int kind), (attributes, kind))
FORWARD(int, pthread_mutex_trylock, (pthread_mutex_t *mutex), (mutex))
FORWARD(int, pthread_rwlock_init, (pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes), (lock, attributes))
FORWARD(int, pthread_rwlock_destroy, (pthread_rwlock_t *lock), (lock))
FORWARD(int, pthread_rwlock_rdlock, (pthread_rwlock_t *lock), (lock))
FORWARD(int, pthread_rwlock_wrlock, (pthread_rwlock_t *lock), (lock))
FORWARD(int, pthread_rwlock_unlock, (pthread_rwlock_t *lock), (lock))
FORWARD(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t *lock), (lock))
FORWARD(int, pthread_rwlock_trywrlock, (pthread_rwlock_t *lock), (lock))
FORWARD(void *, dlopen, (const char *path, int flags), (path, flags))
FORWARD(void *, dlsym, (void *library, const char *name), (library, name))
FORWARD(int, dlclose, (void *library), (library))
FORWARD(char *, dlerror, (void), ())
FORWARD(int, dladdr, (const void *address, Dl_info *information), (address, information))
FORWARD(int, sem_close, (sem_t *semaphore), (semaphore))
FORWARD(int, sem_destroy, (sem_t *semaphore), (semaphore))
FORWARD(int, sem_init, (sem_t *semaphore, int is_shared, unsigned value), (semaphore, is_shared, value))
FORWARD(int, sem_post, (sem_t *semaphore), (semaphore))
FORWARD(int, sem_wait, (sem_t *semaphore), (semaphore))
FORWARD(int, sem_unlink, (const char *name), (name))

sem_t *old_sem_open(const char *name, int flags, mode_t mode, unsigned value);
OLD(sem_open);
HIDDEN sem_t *sem_open(const char *name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  unsigned value = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
  va_end(arguments);
  return old_sem_open(name, flags, mode, value);
}

// New versions since 2.29 and 2.35, which no longer call a handler of errors that nobody has; the results are the same.
FORWARD(double, exp, (double x), (x))
FORWARD(double, exp2, (double x), (x))
FORWARD(double, log, (double x), (x))
FORWARD(double, log2, (double x), (x))
FORWARD(double, pow, (double x, double y), (x, y))
FORWARD(float, hypotf, (float x, float y), (x, y))
FORWARD(double, hypot, (double x, double y), (x, y))
FORWARD(double, fmod, (double x, double y), (x, y))
FORWARD(float, fmodf, (float x, float y), (x, y))
