/* A disk that refuses: while the file ORDAIN_REFUSE is there, changes below the directory it names fail with the error it names.
 *
 * Its content is "<errno> <directory>". A full disk (ENOSPC) refuses to write and to make names; any other error refuses every change.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static void linked(int descriptor, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, out, PATH_MAX - 1);
    out[size > 0 ? size : 0] = 0;
}

/* Return whether to refuse a change at this path, and set errno. */
static int refused(int directory, const char *path, int makes) {
    char place[2 * PATH_MAX] = "", text[PATH_MAX + 32], *below;
    const char *flag = getenv("ORDAIN_REFUSE");
    REAL(int, "openat64", int, const char *, int, ...);
    int file = flag ? real(AT_FDCWD, flag, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    text[size > 0 ? size : 0] = 0;
    if (!(below = strchr(text, ' '))) return 0;
    *below++ = 0;
    if (path && path[0] == '/') snprintf(place, sizeof place, "%s", path);
    else if (directory == AT_FDCWD) { if (!getcwd(place, PATH_MAX)) return 0; }
    else linked(directory, place);
    if (strncmp(place, below, strlen(below)) || (atoi(text) == ENOSPC && !makes)) return 0;
    errno = atoi(text);
    return 1;
}

#define MODE mode_t mode = 0; if (flags & O_CREAT) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
static int opened(int directory, const char *path, int flags, mode_t mode) {
    REAL(int, "openat64", int, const char *, int, ...);
    if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && refused(directory, path, flags & O_CREAT)) return -1;
    return real(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) { MODE return opened(directory, path, flags, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE return opened(directory, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }

ssize_t write(int descriptor, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return descriptor > 2 && refused(descriptor, NULL, 1) ? -1 : real(descriptor, data, size);
}
int fsync(int descriptor) { REAL(int, "fsync", int); return refused(descriptor, NULL, 0) ? -1 : real(descriptor); }

int renameat(int from, const char *old, int to, const char *new) {
    REAL(int, "renameat", int, const char *, int, const char *);
    return refused(to, new, 0) ? -1 : real(from, old, to, new);
}
int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    return refused(to, new, 1) ? -1 : real(from, old, to, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int unlinkat(int directory, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    if (faccessat(directory, path, F_OK, AT_SYMLINK_NOFOLLOW)) return -1; /* what is not there needs no leave to go */
    return refused(directory, path, 0) ? -1 : real(directory, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int directory, const char *path, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    return refused(directory, path, 1) ? -1 : real(directory, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int symlinkat(const char *target, int directory, const char *path) {
    REAL(int, "symlinkat", const char *, int, const char *);
    return refused(directory, path, 1) ? -1 : real(target, directory, path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
