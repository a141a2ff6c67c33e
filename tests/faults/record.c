/* Notes in a log, in order, what a process does to names and which files and directories it fsyncs, below some directories.
 *
 * Built and preloaded by tests/faults/recording.py. ORDAIN_RECORD_BELOW: directories, joined by ':'.
 * ORDAIN_RECORD_TO: directory of the log and of a copy of each file at each fsync of it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;
static int count;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int below(const char *path) {
    const char *list = getenv("ORDAIN_RECORD_BELOW");
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (!strncmp(path, list, length) && (path[length] == '/' || !path[length])) return 1;
        list += length + (list[length] == ':');
    }
    return 0;
}

static void whole(int directory, const char *path, char *out) {
    char link[64], base[PATH_MAX] = "";
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    if (directory == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) base[0] = 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t size = readlink(link, base, sizeof base - 1);
        base[size > 0 ? size : 0] = 0;
    }
    size_t used = strlen(base);
    snprintf(out, PATH_MAX, "%s", base);
    snprintf(out + used, PATH_MAX - used, "/%s", path);
}

static void note(const char *what, const char *one, const char *two) {
    char line[3 * PATH_MAX], log[PATH_MAX];
    int size = snprintf(line, sizeof line, "%s\t%s\t%s\n", what, one, two);
    snprintf(log, sizeof log, "%s/log", getenv("ORDAIN_RECORD_TO"));
    REAL(int, "open64", const char *, int, ...);
    int file = real(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || write(file, line, size) != size) abort();
    close(file);
}

static void keep(int descriptor, char *name) {
    char from[64], to[PATH_MAX], buffer[65536];
    ssize_t size;
    snprintf(name, 64, "%d.%d", getpid(), count++);
    snprintf(to, sizeof to, "%s/%s", getenv("ORDAIN_RECORD_TO"), name);
    snprintf(from, sizeof from, "/proc/self/fd/%d", descriptor);
    REAL(int, "open64", const char *, int, ...);
    int in = real(from, O_RDONLY | O_CLOEXEC), out = real(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (in < 0 || out < 0) abort();
    while ((size = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, size) != size) abort();
    close(in);
    close(out);
}

/* One call on one or two names: hold the lock over the call and its line, so that the log has the true order. */
#define NAMES(call, what, one, two, logged) do { \
        int kept, result; \
        if (!(logged)) return call; \
        pthread_mutex_lock(&alone); \
        result = call; \
        kept = errno; \
        if (!result) note(what, one, two); \
        pthread_mutex_unlock(&alone); \
        errno = kept; \
        return result; \
    } while (0)

static int opened(int (*real)(int, const char *, int, ...), int directory, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    if (!(flags & O_CREAT)) return real(directory, path, flags, mode);
    whole(directory, path, name);
    if (!below(name)) return real(directory, path, flags, mode);
    pthread_mutex_lock(&alone);
    int result = real(directory, path, flags, mode), kept = errno;
    if (result >= 0) note("file", name, "");
    pthread_mutex_unlock(&alone);
    errno = kept;
    return result;
}

#define MODE mode_t mode = 0; if (flags & O_CREAT) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int openat64(int directory, const char *path, int flags, ...) { MODE REAL(int, "openat64", int, const char *, int, ...); return opened(real, directory, path, flags, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE REAL(int, "openat", int, const char *, int, ...); return opened(real, directory, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE REAL(int, "openat64", int, const char *, int, ...); return opened(real, AT_FDCWD, path, flags, mode); }
int open(const char *path, int flags, ...) { MODE REAL(int, "openat64", int, const char *, int, ...); return opened(real, AT_FDCWD, path, flags, mode); }

int renameat(int from, const char *old, int to, const char *new) {
    char one[PATH_MAX], two[PATH_MAX];
    REAL(int, "renameat", int, const char *, int, const char *);
    whole(from, old, one); whole(to, new, two);
    NAMES(real(from, old, to, new), "rename", one, two, below(one) || below(two));
}
int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    char one[PATH_MAX], two[PATH_MAX];
    REAL(int, "linkat", int, const char *, int, const char *, int);
    whole(from, old, one); whole(to, new, two);
    NAMES(real(from, old, to, new, flags), "link", one, two, below(two));
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int directory, const char *path, int flags) {
    char one[PATH_MAX];
    REAL(int, "unlinkat", int, const char *, int);
    whole(directory, path, one);
    NAMES(real(directory, path, flags), "unlink", one, "", below(one));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int remove(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int directory, const char *path, mode_t mode) {
    char one[PATH_MAX];
    REAL(int, "mkdirat", int, const char *, mode_t);
    whole(directory, path, one);
    NAMES(real(directory, path, mode), "directory", one, "", below(one));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int directory, const char *path) {
    char one[PATH_MAX];
    REAL(int, "symlinkat", const char *, int, const char *);
    whole(directory, path, one);
    NAMES(real(target, directory, path), "symlink", one, target, below(one));
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

static int synced(int (*real)(int), int descriptor) {
    char from[64], path[PATH_MAX], name[64] = "";
    struct stat info;
    snprintf(from, sizeof from, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(from, path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    if (!below(path)) return real(descriptor);
    pthread_mutex_lock(&alone);
    int result = real(descriptor), kept = errno;
    if (!result && !fstat(descriptor, &info)) {
        if (S_ISREG(info.st_mode)) keep(descriptor, name);
        note("sync", path, name);
    }
    pthread_mutex_unlock(&alone);
    errno = kept;
    return result;
}
int fsync(int descriptor) { REAL(int, "fsync", int); return synced(real, descriptor); }
int fdatasync(int descriptor) { REAL(int, "fdatasync", int); return synced(real, descriptor); }
