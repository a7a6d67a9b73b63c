/*
 * Preloaded into a queue, it stands between SQLite and the disk, for files whose path begins with CRASH_SHIM_PREFIX:
 * - it fails calls on request: the file CRASH_SHIM_CONTROL holds the numbers of struct control, little-endian;
 * - it writes down every write, truncation and sync of the database and its log in the file CRASH_SHIM_TRACE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, TRUNCATE = 4, OPEN = 8 };

struct control {
  /* Calls of the wanted kinds so far. Those with a number in [from, to), counted from 1, fail with this error. */
  int64_t calls, from, to, error, kinds, failed;
};

struct record {
  int32_t kind, file;
  int64_t offset, length;
};

static struct control *control;
static int trace = -1;
static const char *prefix;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
  prefix = getenv("CRASH_SHIM_PREFIX");
  int (*really)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
  const char *path = getenv("CRASH_SHIM_CONTROL");
  if (path != NULL) {
    int fd = really(path, O_RDWR);
    if (fd >= 0) control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || control == MAP_FAILED) abort();
  }
  path = getenv("CRASH_SHIM_TRACE");
  if (path != NULL) trace = really(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* What comes after the prefix; NULL for a file that is none of ours. The lock is no part of the data. */
static const char *suffix(const char *path) {
  size_t length = prefix == NULL ? 0 : strlen(prefix);
  if (length == 0 || strncmp(path, prefix, length) != 0 || strcmp(path + length, ".lock") == 0) return NULL;
  return path + length;
}

static int fileOf(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return -1;
  path[length] = 0;
  const char *end = suffix(path);
  return end == NULL ? -1 : *end == 0 ? 0 : strcmp(end, "-wal") == 0 ? 1 : 2;
}

static int fails(int kind) {
  if (control == NULL || (control->kinds & kind) == 0) return 0;
  int64_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
  if (number < control->from || number >= control->to) return 0;
  __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
  errno = (int)control->error;
  return 1;
}

/* A process whose files must not grow (prlimit) cannot be traced any further either; nobody asks for it there. */
static void append(const void *data, int64_t length) {
  if (trace < 0 || write(trace, data, length) == length) return;
  if (errno != EFBIG) abort();
  trace = -1;
}

static void note(int kind, int file, int64_t offset, int64_t length, const void *data) {
  if (trace < 0 || file > 1) return;
  struct record record = {kind, file, offset, length};
  append(&record, sizeof record);
  if (data != NULL) append(data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  static ssize_t (*really)(int, const void *, size_t, off64_t);
  if (really == NULL) really = dlsym(RTLD_NEXT, "pwrite64");
  int file = fileOf(fd);
  if (file < 0) return really(fd, data, length, offset);
  if (fails(WRITE)) return -1;
  pthread_mutex_lock(&lock);
  ssize_t written = really(fd, data, length, offset);
  if (written > 0) note(WRITE, file, offset, written, data);
  pthread_mutex_unlock(&lock);
  return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  return pwrite64(fd, data, length, offset);
}

static int synced(int fd, const char *name) {
  int (*really)(int) = dlsym(RTLD_NEXT, name);
  int file = fileOf(fd);
  if (file < 0) return really(fd);
  if (fails(SYNC)) return -1;
  pthread_mutex_lock(&lock);
  int result = really(fd);
  if (result == 0) note(SYNC, file, 0, 0, NULL);
  pthread_mutex_unlock(&lock);
  return result;
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }

int ftruncate64(int fd, off64_t length) {
  static int (*really)(int, off64_t);
  if (really == NULL) really = dlsym(RTLD_NEXT, "ftruncate64");
  int file = fileOf(fd);
  if (file < 0) return really(fd, length);
  if (fails(TRUNCATE)) return -1;
  pthread_mutex_lock(&lock);
  int result = really(fd, length);
  if (result == 0) note(TRUNCATE, file, length, 0, NULL);
  pthread_mutex_unlock(&lock);
  return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int opened(const char *path, int flags, mode_t mode) {
  static int (*really)(const char *, int, ...);
  if (really == NULL) really = dlsym(RTLD_NEXT, "open64");
  if (suffix(path) != NULL && fails(OPEN)) return -1;
  return really(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return opened(path, flags, mode);
}
