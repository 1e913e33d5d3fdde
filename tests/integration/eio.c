/* Preloaded into a process, it makes one system call on one kind of file fail with EIO, as a dying disk does.
   EIO_CALL: open write pwrite fsync rename; EIO_PATH: a part of the file's path; EIO_NTH: which such call fails first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int counted;

static int fails(const char *call, const char *path) {
    const char *wanted = getenv("EIO_CALL"), *part = getenv("EIO_PATH"), *nth = getenv("EIO_NTH");
    if (!wanted || !part || !path || strcmp(call, wanted) || !strstr(path, part)) return 0;
    if (++counted < (nth ? atoi(nth) : 1)) return 0;
    errno = EIO;
    return 1;
}

static int fd_fails(const char *call, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return fails(call, path);
}

#define REAL(name) __typeof__(name) *real = dlsym(RTLD_NEXT, #name)

#define OPEN(name)                                   \
    int name(const char *path, int flags, ...) {     \
        va_list rest;                                \
        va_start(rest, flags);                       \
        mode_t mode = va_arg(rest, mode_t);          \
        va_end(rest);                                \
        REAL(name);                                  \
        return fails("open", path) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    return fd_fails("write", fd) ? -1 : real(fd, data, size);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    return fd_fails("pwrite", fd) ? -1 : real(fd, data, size, at);
}
int fsync(int fd) {
    REAL(fsync);
    return fd_fails("fsync", fd) ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return fd_fails("fsync", fd) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return fails("rename", from) ? -1 : real(from, to);
}
